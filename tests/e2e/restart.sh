#!/usr/bin/env bash
# Another airlock-fs while builds run, after kill -9 and after SIGTERM, in hook mode and in static mode: a build that does
# not touch the view meanwhile is not lost, and cannot tell.
. "$(dirname "$0")/lib.sh"

static_mode() {
  sed -i -e '/^pre-build-hook/d' /etc/nix/nix.conf
  echo 'extra-sandbox-paths = /nix/var=/run/airlock/fs/var' >>/etc/nix/nix.conf
  airlock-env stop-nix-daemon
  airlock-env start-nix-daemon
}

start_build() { # start_build NAME: in the background; its process is in NAME.pid.
  timeout 120 nix-build --no-out-link "$1.nix" >"$1.out" 2>"$1.log" &
  echo $! >"$1.pid"
  eventually "$1 runs" 60 grep -q is-running "$1.log"
}

finished() { # finished NAME: it was built; prints its output path.
  wait "$(cat "$1.pid")" || fail "$1 was lost: $(cat "$1.log")"
  lacks "the log of $1" "airlock-fs" "$(cat "$1.log")"
}

for mode in hook static; do
  [ $mode = hook ] || static_mode
  for how in kill stop; do
    name=$mode-$how
    step "$mode mode, $how: builds that are in the airlock go on"
    # Has used its airlock, sleeps through the restart, and uses it again.
    outer "sleeps-$name" <<SCRIPT
before=\$(inner before-$name 'mkdir \$out; echo before >\$out/file')
echo is-running >&2
sleep 7
[ "\$(cat \$before/file)" = before ] || die "what was granted is gone"
[ -s /nix/var/airlock/session.json ] || die "the view is not back"
[ -e /nix/var/airlock/store/\${before##*/}/file ] || die "what was granted is not listed any more"
after=\$(inner after-$name 'mkdir \$out; cat \$dependency/file >\$out/file; echo after >>\$out/file' \$before)
nix-store --query --references \$after >&2
mkdir \$out
cat \$after/file >\$out/text
echo \$before \$after >\$out/paths
SCRIPT
    # Has a client that asked before, and is answered after.
    outer "waits-$name" <<SCRIPT
echo is-running >&2
path=\$(inner slow-$name 'sleep 6; echo slow >\$out') || die "the inner build failed"
[ "\$(cat \$path)" = slow ] || die "the answer came before the path"
echo \$path >\$out
SCRIPT
    # In static mode nothing is known of it yet.
    outer "late-$name" <<SCRIPT
echo is-running >&2
sleep 7
. /nix/var/airlock/env
path=\$(inner late-$name 'echo late >\$out')
echo \$path >\$out
SCRIPT
    sed -i '0,/^\. .*env$/ { /^\. .*env$/d }' "late-$name.sh" # the prelude looks at once
    for build in sleeps waits late; do start_build "$build-$name"; done
    eventually "the inner build runs" 60 pgrep -f 'sleep 6'
    airlock-env $how-fs
    sleep 1
    airlock-env start-fs
    airlock status --wait 20 || fail "airlock is not up again"
    for build in sleeps waits late; do finished "$build-$name"; done
    out=$(cat "sleeps-$name.out")
    equal "what was built on top of each other" "before after " "$(tr '\n' ' ' <"$out/text")"
    read -r before after <"$out/paths"
    equal "references" "$(printf '%s\n' "$before" "$after" | sort)" "$(references "$out")"
    contains "closure" "$before" "$(closure "$out")"
    for build in waits late; do
      out=$(cat "$build-$name.out")
      equal "$build: references" "$(cat "$out")" "$(references "$out")"
    done
    equal "mounts of the view" 1 "$(grep -c ' /run/airlock/fs ' /proc/self/mounts)"
    settled
    store_is_clean
  done
done

step "no session was ended by anybody else"
! grep condemned "$AIRLOCK_LOGS"/*.log || fail "a session was condemned"
