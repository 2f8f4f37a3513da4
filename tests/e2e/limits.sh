#!/usr/bin/env bash
# A build that goes over a limit is ended: its builder may catch the failure, write it down and exit 0, and there is no
# valid output afterwards; the build log says which limit it was and where to raise it.
. "$(dirname "$0")/lib.sh"

# limit KEY VALUE: airlockd runs with this limit and the defaults of the others.
limit() {
  airlock-env stop-mediator
  printf '[limits]\n%s = %s\n' "$1" "$2" >/etc/airlock/airlock.toml
  airlock-env start-mediator
}

# ended NAME KEY VALUE [RULE]: NAME.nix is built, and must be ended for that limit. Its builder would exit 0.
ended() {
  local derivation
  derivation=$(nix-instantiate "$1.nix" 2>/dev/null)
  refuses "$1, which goes over $2" timeout 60 nix-build --no-out-link "$1.nix" -j 4
  said=$output
  contains "the output of nix-build" "the limit is $3; to allow more, raise limits.$2 in /etc/airlock/airlock.toml" "$output"
  contains "the build log" "raise limits.$2" "$(nix-store --read-log "$derivation")"
  refuses "its output" nix-store --check-validity "$(nix-store -q --outputs "$derivation")"
  contains "the ledger" "limits.$2" "$(query "select note from sessions where derivation = '$(basename "$derivation")' order by id desc limit 1")"
  equal "the rule in the ledger" "${4:-limits}" "$(rule_that_ended "$derivation")"
}

step "paths"
limit paths 3
outer few <<'SCRIPT'
for i in 1 2 3; do echo $i >$i; nix-store --add $i >&2; done
echo went on >$out
SCRIPT
equal "a build within the limit" "went on" "$(cat "$(build few)")"
outer many <<'SCRIPT'
for i in 1 2 3 4; do echo $i >$i; nix-store --add $i >&2 || true; done
echo learnt of it >$out
SCRIPT
ended many paths 3

step "granted bytes"
limit granted-bytes 100000
outer large <<'SCRIPT'
dd if=/dev/zero of=large bs=1000 count=200
nix-store --add large || true
echo learnt of it >$out
SCRIPT
ended large granted-bytes 100000

step "depth"
limit depth 1
outer deep <<'SCRIPT'
nix-build $innerNix --no-out-link --argstr shell $shell --argstr nix $nix --argstr features airlock --argstr name deeper --argstr script 'echo >$out' || true
echo learnt of it >$out
SCRIPT
ended deep depth 1

# What a builder does that is to be ended. It is not silent: nix-daemon can miss that its client is gone, until there is
# something to read, and would keep the build user from the steps below.
forever='for i in $(seq 300); do echo $i; sleep 1; done; echo >$out'

step "one request to build for longer than allowed"
limit build-time 3
outer slow <<SCRIPT
inner sleeper '$forever' || true
echo learnt of it >\$out
SCRIPT
ended slow build-time 3

step "requests of all sessions at once"
limit machine-builds 1
outer crowd <<SCRIPT
inner crowd-1 '$forever' &
inner crowd-2 '$forever' &
wait
echo learnt of it >\$out
SCRIPT
ended crowd machine-builds 1

step "requests of one session at once: the next waits for its turn, and nothing fails"
limit builds 1
outer queue <<'SCRIPT'
inner queue-1 'date +%s >$out; sleep 2; date +%s >>$out' >1 &
inner queue-2 'date +%s >$out; sleep 2; date +%s >>$out' >2 &
wait
cat $(cat 1) $(cat 2) >$out
SCRIPT
times=$(cat "$(build queue -j 4)")
equal "times" 4 "$(wc -l <<<"$times")"
mapfile -t at <<<"$times"
# One began when the other had ended, whichever was first.
[ "${at[1]}" -le "${at[2]}" ] || [ "${at[3]}" -le "${at[0]}" ] || fail "they overlapped: $times"

step "waiting for a build user that another build holds"
build_users 2
limit starvation 3
cat >holder.nix <<'NIX'
let shell = builtins.storePath (builtins.getEnv "AIRLOCK_SHELL");
in derivation { name = "holder"; system = builtins.currentSystem; builder = "${shell}/bin/sh"; PATH = "${shell}/bin";
  args = [ "-euc" "echo holding; sleep 120; echo >$out" ]; }
NIX
nix-build --no-out-link holder.nix >holder.log 2>&1 &
holder=$!
eventually "the other build runs" 20 grep -q '^holding' holder.log
outer hungry <<'SCRIPT'
inner morsel 'echo >$out' || true
echo learnt of it >$out
SCRIPT
ended hungry starvation 3 starvation
contains "what else may be set" "set max-jobs lower in nix.conf, or add build users" "$said"
kill "$holder"
wait "$holder" || true
store_is_clean
