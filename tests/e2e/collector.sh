#!/usr/bin/env bash
# A garbage collector in a loop beside recursive builds: nothing promised disappears.
. "$(dirname "$0")/lib.sh"

# The tests' own tools are held by a root; nothing else is.
mkdir -p "$state/gcroots/test"
ln -s "$AIRLOCK_NIX" "$state/gcroots/test/nix"
ln -s "$AIRLOCK_SHELL" "$state/gcroots/test/shell"
touch stop-not-yet
(
  while [ -e stop-not-yet ]; do
    nix-collect-garbage >>gc.log 2>&1 || true
    echo . >>rounds
  done
) &
collector=$!

for round in 1 2 3 4; do
  outer "round$round" <<SCRIPT
n=0
while [ \$n -lt 6 ]; do
  n=\$((n + 1))
  echo "added $round \$n" >file
  # Other options each time: then airlockd goes on over another connection, and this one is closed.
  if [ \$((n % 2)) = 0 ]; then verbosity=-v; else verbosity=; fi
  added=\$(nix-store \$verbosity --add file)
  result=\$(inner "result-$round-\$n" "mkdir \\\$out; echo $round \$n >\\\$out/content")
  sleep 0.1
  [ "\$(cat \$added)" = "added $round \$n" ] || die "added \$added is gone"
  [ "\$(cat \$result/content)" = "$round \$n" ] || die "result \$result is gone"
  nix-store -q --references \$added \$result
  echo \$added \$result >>list
done
for path in \$(cat list); do
  [ -e \$path ] || die "\$path is gone at the end"
  nix-store -q --hash \$path >/dev/null
done
cp list \$out
SCRIPT
  nix-build "round$round.nix" -o "result-$round" >"round$round.out" 2>"round$round.log" || fail "round $round: $(cat "round$round.log")"
done
rm stop-not-yet
wait "$collector"
echo "collections meanwhile: $(wc -l <rounds)"
[ "$(wc -l <rounds)" -ge 4 ] || fail "the collector hardly ran"
for round in 1 2 3 4; do
  for path in $(cat "result-$round"); do
    [ -e "$path" ] || fail "$path, named by result-$round, is gone"
    contains "closure of result-$round" "$path" "$(closure "$(readlink "result-$round")")"
  done
done
store_is_clean
