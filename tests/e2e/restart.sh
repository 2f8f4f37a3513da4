#!/usr/bin/env bash
# Another airlock-fs while builds run, after kill -9 and after SIGTERM, in hook mode and in static mode: a build that does
# not touch the view meanwhile is not lost, and cannot tell.
. "$(dirname "$0")/lib.sh"

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
    # Exactly that: clients that only ask for it have the words in their command line, too.
    eventually "the inner build runs" 60 pgrep -fx 'sleep 6'
    airlock-env $how-fs
    builds='sleeps waits late'
    if [ $mode = hook ]; then
      # Starts while there is nobody to announce it to. In static mode Nix finds no folder to bind then.
      outer "new-$name" <<SCRIPT
path=\$(inner new-$name 'echo new >\$out')
echo \$path >\$out
SCRIPT
      timeout 60 nix-build --no-out-link "new-$name.nix" >"new-$name.out" 2>"new-$name.log" &
      echo $! >"new-$name.pid"
      builds="$builds new"
    fi
    sleep 1
    airlock-env start-fs
    airlock status --wait 20 || fail "airlock is not up again"
    for build in $builds; do finished "$build-$name"; done
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

step "again and again, while a build asks all the time"
# What the view refuses meanwhile is asked again; what was answered has to be there.
outer busy <<'SCRIPT'
echo is-running >&2
added=''
i=0
while [ $i -lt 60 ]; do
  echo $i >file-$i
  mkdir folder-$i
  echo $i >folder-$i/file
  for name in file-$i folder-$i; do
    tries=0
    until path=$(nix-store --add $name 2>/dev/null); do
      tries=$((tries + 1))
      [ $tries -lt 60 ] || die "the view is not back"
      sleep 0.5
    done
    [ -e $path ] || die "$path was answered and is not there"
    added="$added $path"
  done
  i=$((i + 1))
done
for path in $added; do
  ls -d /nix/var/airlock/store/${path##*/} >/dev/null || die "$path is not listed"
done
echo $added >$out
SCRIPT
start_build busy
for how in kill stop kill kill stop; do
  airlock-env $how-fs
  airlock-env start-fs
  airlock status --wait 20 || fail "airlock is not up again"
  sleep 0.5
done
finished busy
out=$(cat busy.out)
equal "references" "$(tr ' ' '\n' <"$out" | sort | sha256sum)" "$(references "$out" | sha256sum)"
store_is_clean

step "no session was ended by anybody else"
! grep condemned "$AIRLOCK_LOGS"/*.log || fail "a session was condemned"
