#!/usr/bin/env bash
# scripts/with-airlock passes on what its command returns, and leaves no process, mount or file behind
# whatever way it ends. Runs outside of the environment that it tests.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
with_airlock=$here/../../scripts/with-airlock
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}
# Other tests run at the same time: ours are the processes with our mark in their environment.
mark=AIRLOCK_MARK_$$_$RANDOM
export AIRLOCK_MARK=$mark
processes() {
  local environ pid
  for environ in /proc/[0-9]*/environ; do
    pid=${environ#/proc/}
    pid=${pid%/environ}
    if [ "$pid" != "$$" ] && [ "$pid" != "$BASHPID" ] && grep -qz "$mark" "$environ" 2>/dev/null; then echo "$pid"; fi
  done
}
mounts() { cut -d' ' -f5- /proc/self/mountinfo | sort; }
before=$(mounts)
clean_after() {
  for _ in {1..100}; do
    [ -n "$(processes)" ] || break
    sleep 0.1
  done
  [ -z "$(processes)" ] || fail "$1: processes are left: $(ps -o pid,args -p "$(processes | paste -sd,)")"
  [ "$(mounts)" = "$before" ] || fail "$1: mounts are left"
  [ ! -e /run/airlock/announce ] || fail "$1: /run/airlock is left"
  echo "ok: $1: nothing is left"
}
# ends_with STATUS COMMAND...
ends_with() {
  local expected=$1 status=0
  shift
  "$with_airlock" -- "$@" >log 2>&1 || status=$?
  [ "$status" = "$expected" ] || fail "'$*' ended with $status, not $expected: $(cat log)"
}

ends_with 0 true
clean_after success
ends_with 7 sh -c 'exit 7'
clean_after failure
ends_with 127 /no/such/command
clean_after "no such command"
ends_with 0 sh -c '[ "$PWD" = '"$work"' ] && [ -n "$AIRLOCK_NIX" ] && [ "$NIX_REMOTE" = daemon ] && airlock status'
clean_after "what a command finds"

for signal in TERM INT KILL; do
  rm -f ready
  # A shell has its background commands ignore INT.
  setsid env --default-signal=INT "$with_airlock" -- sh -c "touch $work/ready; sleep 60" >log 2>&1 &
  running=$!
  for _ in {1..300}; do
    [ ! -e ready ] || break
    sleep 0.1
  done
  [ -e ready ] || fail "the command did not start: $(cat log)"
  kill "-$signal" "$running"
  wait "$running" && fail "SIG$signal: it ended well"
  clean_after "SIG$signal"
done

status=0
said=$("$with_airlock" --no-such-option 2>&1) || status=$?
[ "$status" != 0 ] && [[ $said == *--no-such-option* ]] || fail "a bad option: status $status: $said"
mkdir empty
status=0
said=$("$with_airlock" --nix ./empty -- true 2>&1) || status=$?
[ "$status" = 125 ] && [[ $said == *"not the root folder of a system"* ]] || fail "an empty folder: status $status: $said"
echo 'surprise = 1' >bad.toml
status=0
said=$("$with_airlock" --config bad.toml -- true 2>&1) || status=$?
[ "$status" = 125 ] && [[ $said == *surprise* ]] || fail "a bad configuration: status $status: $said"
clean_after "a bad configuration"
