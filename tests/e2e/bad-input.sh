#!/usr/bin/env bash
# Bytes that are not the protocol end their connection, with a reason; nothing else suffers. A wrong
# command line is a wrong command line for every program: EX_USAGE.
. "$(dirname "$0")/lib.sh"

for program in airlock airlockd airlock-fetchd airlock-fs; do
  status=0
  said=$("$AIRLOCK_BIN/$program" --no-such-option 2>&1) || status=$?
  equal "$program --no-such-option" 64 "$status"
  contains "what $program says" "--help" "$said"
  "$AIRLOCK_BIN/$program" --help >/dev/null || fail "$program has no help"
done

raw=$(nix-store --add "$AIRLOCK_RAW_CLIENT")
outer bystander <<'SCRIPT'
for n in 1 2 3 4 5 6; do inner by-$n "sleep 0.2; echo $n >\$out" >/dev/null; done
echo fine >$out
SCRIPT
nix-build --no-out-link bystander.nix >bystander.out 2>bystander.log &
bystander=$!

outer rude "raw = builtins.storePath $raw;" <<'SCRIPT'
$raw hold $PWD/release >held &
held=$!
for what in garbage oversized truncated unknown; do
  status=0
  said=$($raw $what) || status=$?
  echo "$what: status $status: $said" >&2
  [ $status = 1 ] || [ $status = 2 ] || die "$what was not refused"
done
touch release
wait $held || die "the polite connection was ended too: $(cat held)"
cat held >&2
echo "still builds: $(cat $(inner after 'echo yes >$out'))" >&2
echo fine >$out
SCRIPT
equal "the rude build's output" fine "$(cat "$(build rude)")"
grep -E '^(garbage|oversized|truncated|unknown|still)' rude.log
contains "log" "still served" "$(cat rude.log)"
wait "$bystander" || fail "the bystander: $(cat bystander.log)"
equal "the bystander's output" fine "$(cat "$(cat bystander.out)")"
broken=$(query "select operation, reason from operations where verdict = 'broken' order by id")
printf '%s\n' "$broken"
equal "connections ended with a reason" 4 "$(grep -c . <<<"$broken")"
for reason in "not those of a Nix client" "over the limit" "in the middle of a message" "operation 4711 does not exist"; do
  contains "ledger" "$reason" "$broken"
  contains "log" "$reason" "$(cat "$AIRLOCK_LOGS/airlockd.log")"
done
