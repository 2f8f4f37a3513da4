#!/usr/bin/env bash
# airlockd has no privilege, nix-daemon does not trust it, and nobody else gets at a session.
. "$(dirname "$0")/lib.sh"

step "airlockd's own user, no capabilities"
status=$(cat "/proc/$(airlock-env pid-of mediator)/status")
uid=$(id -u airlock)
[ "$uid" != 0 ] || fail "the airlock user is root"
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' <<<"$status"
equal "uids" "$uid $uid $uid $uid" "$(awk '/^Uid:/ { print $2, $3, $4, $5 }' <<<"$status")"
for set in Inh Prm Eff Amb; do
  equal "Cap$set" 0000000000000000 "$(awk "/^Cap$set:/ { print \$2 }" <<<"$status")"
done
equal NoNewPrivs 1 "$(awk '/^NoNewPrivs:/ { print $2 }' <<<"$status")"

step "nix-daemon knows it as its user, not trusted"
outer hold <<'SCRIPT'
inner warm 'echo warm >$out' >/dev/null
echo ready >&2
n=0
while [ $n -lt 200 ]; do sleep 0.1; n=$((n + 1)); [ ! -e $TMPDIR/../stop ] || break; done
echo done >$out
SCRIPT
nix-build --no-out-link hold.nix >hold.out 2>hold.log &
building=$!
eventually "the build is inside" 60 grep -q ready hold.log
contains "nix-daemon.log" "user airlock" "$(grep 'accepted connection' "$AIRLOCK_LOGS/nix-daemon.log" | tr -d "'")"
if grep 'accepted connection' "$AIRLOCK_LOGS/nix-daemon.log" | grep 'airlock' | grep -v untrusted | grep -q '(trusted)'; then
  fail "nix-daemon trusts airlock"
fi
grep 'airlock' "$AIRLOCK_LOGS/nix-daemon.log" | tail -n 1

step "another user cannot connect to the session's socket"
socket=$(find /run/airlock/fs -name socket | head -n 1)
[ -S "$socket" ] || fail "no session socket"
refuses "as nobody, at the mount" setpriv --reuid 65534 --regid 65534 --clear-groups env AIRLOCK_SOCKET="$socket" "$AIRLOCK_RAW_CLIENT" question 1 "$AIRLOCK_SHELL"
echo "as nobody: $output"
builder=$(pgrep -f "hold.sh" | head -n 1)
refuses "as nobody, through the builder's root" setpriv --reuid 65534 --regid 65534 --clear-groups env AIRLOCK_SOCKET="/proc/$builder/root/nix/var/nix/daemon-socket/socket" "$AIRLOCK_RAW_CLIENT" question 1 "$AIRLOCK_SHELL"
echo "through /proc: $output"
refuses "as root outside the sandbox" env AIRLOCK_SOCKET="$socket" "$AIRLOCK_RAW_CLIENT" question 1 "$AIRLOCK_SHELL"
echo "as root: $output"
contains "the mediator's log" "not in this session" "$(cat "$AIRLOCK_LOGS/airlockd.log")"

step "the real daemon's socket is not in the sandbox"
kill "$building" 2>/dev/null || true
wait "$building" 2>/dev/null || true
