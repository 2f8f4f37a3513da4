#!/usr/bin/env bash
# kill -9 of airlock-fs while builds use the view, in hook mode and in static mode, then a start: what they held of it is
# lost, what they ask for by name is there; no stale mount, no hung process, a clean store, new builds. And the fallbacks
# for older kernels.
. "$(dirname "$0")/lib.sh"

# in_sandboxes: the processes below a pid namespace of their own. waiting: those of them that wait for the mount.
in_sandboxes() { grep -lE '^NSpid:([[:space:]]+[0-9]+){2,}' /proc/[0-9]*/status 2>/dev/null | sed -e 's|/status||' -e 's|/proc/||'; }
nobody_left() { [ -z "$(in_sandboxes)" ]; }

# plain NAME <SCRIPT: a derivation without airlock.
plain() {
  cat >"$1.sh"
  cat >"$1.nix" <<NIX
derivation rec {
  name = "$1"; system = builtins.currentSystem;
  shell = builtins.storePath "$AIRLOCK_SHELL";
  builder = "\${shell}/bin/sh"; args = [ "-eu" ./$1.sh ]; PATH = "\${shell}/bin";
}
NIX
}

# is_dead FOLDER, for sandboxes: asks for a name that the kernel never answers by itself. What it has kept it goes on telling.
# shellcheck disable=SC2016  # the sandbox's shell expands it
is_dead='is_dead() { ls "$1/none" 2>&1 | grep -q "endpoint is not connected"; }'

for mode in hook static; do
  [ $mode = hook ] || static_mode
  step "$mode mode: kill -9 of airlock-fs with builds running"
  # Holds a folder of the dead view, and says so; works in the view all the time, until it has seen the gap and what comes
  # after it; is ended by its user while an inner build waits; never looks and never asks.
  outer "holds-$mode" <<SCRIPT
$is_dead
cd /nix/var/airlock/store
echo is-running >&2
sleep 5
is_dead . || die "the dead view answers"
ls /nix/var/airlock/store >/dev/null || die "the view is not back"
echo held >\$out
SCRIPT
  outer "walks-$mode" <<SCRIPT
$is_dead
echo is-running >&2
walk() {
  find /nix/var /nix/var/airlock/store/ -type f -exec cat {} + >/dev/null 2>&1 && ! is_dead /nix/var/airlock/store
}
while walk; do :; done
i=0
until walk; do
  i=\$((i + 1))
  [ \$i -lt 30 ] || die "the view is not back"
  sleep 1
done
path=\$(inner walked 'echo walked >\$out')
cat \$path >\$out
SCRIPT
  outer "waits-$mode" <<SCRIPT
echo is-running >&2
inner slow-$mode 'sleep 1000' || true
sleep 1000
SCRIPT
  plain "quiet-$mode" <<'SCRIPT'
echo is-running >&2
i=0
while [ $i -lt 12 ]; do sleep 1; i=$((i + 1)); done
echo undisturbed >$out
SCRIPT
  for name in holds walks waits quiet; do
    timeout 120 nix-build --no-out-link "$name-$mode.nix" >"$name-$mode.out" 2>"$name-$mode.log" &
    echo $! >"$name.pid"
    eventually "$name runs" 60 grep -q is-running "$name-$mode.log"
  done
  sleep 1
  kill -9 "$(airlock-env pid-of fs)"
  sleep 1
  airlock settle
  airlock-env start-fs
  airlock status --wait 20 || fail "airlock is not up again"
  equal "sessions that go on" 3 "$(airlock status | grep -o '[0-9]*$')"
  wait "$(cat holds.pid)" || fail "$(cat "holds-$mode.log")"
  equal "who held a part of the dead view" held "$(cat "$(cat "holds-$mode.out")")"
  wait "$(cat walks.pid)" || fail "$(cat "walks-$mode.log")"
  equal "who looked all the time" walked "$(cat "$(cat "walks-$mode.out")")"
  # Adopted sandboxes end with their builds, as all do.
  kill "$(cat waits.pid)"
  status=0
  wait "$(cat waits.pid)" || status=$?
  [ $status != 0 ] || fail "waits-$mode was built"
  wait "$(cat quiet.pid)" || fail "$(cat "quiet-$mode.log")"
  equal "who never looked" undisturbed "$(cat "$(cat "quiet-$mode.out")")"
  eventually "no process to be left in a sandbox" 20 nobody_left
  echo "ok: no process is left in a sandbox"
  equal "mounts of the view" 1 "$(grep -c ' /run/airlock/fs ' /proc/self/mounts)"
  outer "again-$mode" <<'SCRIPT'
path=$(inner again 'echo again >$out')
cat $path >$out
SCRIPT
  equal "a new build" again "$(cat "$(build "again-$mode")")"
  store_is_clean
done

step "the fallbacks: no SO_PEERPIDFD, no links"
airlock-env stop-mediator
airlock-env stop-fs
setsid airlock-fs --without peerpidfd,links >>"$AIRLOCK_LOGS/airlock-fs.log" 2>&1 &
fs=$!
trap 'kill $fs' EXIT
eventually "airlock-fs to serve" 20 test -S /run/airlockd/control
airlock-env start-mediator
outer old <<'SCRIPT'
path=$(inner file-old 'echo old >$out')
folder=$(inner folder-old 'mkdir $out; echo folder >$out/file')
cat $path $folder/file /nix/var/airlock/store/${folder##*/}/file >$out
SCRIPT
equal "on an old kernel" "old folder folder " "$(tr '\n' ' ' <"$(build old)")"
store_is_clean
