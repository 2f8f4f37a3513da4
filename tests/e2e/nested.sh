#!/usr/bin/env bash
# A derivation that does not ask sees nothing; recursion goes three levels deep; the ledger shows who
# asked for whom.
. "$(dirname "$0")/lib.sh"

step "without asking there is no /nix/var"
cat >plain.nix <<'NIX'
let shell = builtins.storePath (builtins.getEnv "AIRLOCK_SHELL");
in derivation { name = "plain"; system = builtins.currentSystem; builder = "${shell}/bin/sh"; PATH = "${shell}/bin";
  args = [ "-euc" "[ ! -e /nix/var ]; ls /nix >$out" ]; }
NIX
equal "/nix in a build that does not ask" store "$(cat "$(build plain)")"
equal "sessions" 0 "$(query 'select count(*) from sessions')"

step "three levels"
outer level1 <<'SCRIPT'
cat >level.sh <<'LEVEL'
. /nix/var/airlock/env
if [ $name = level3 ]; then
  nix-build $innerNix --no-out-link --argstr shell $shell --argstr name bottom --argstr script 'echo bottom >$out' >$out
else
  path=$(nix-build $innerNix --no-out-link --argstr shell $shell --argstr nix $nix --argstr features airlock \
    --argstr innerNix $innerNix --argstr name level3 --argstr script "$(cat $dependency)" --argstr dependency $dependency)
  cat $path >$out
  echo $path >>$out
fi
LEVEL
script=$(nix-store --add level.sh)
path=$(nix-build $innerNix --no-out-link --argstr shell $shell --argstr nix $nix --argstr features airlock \
  --argstr innerNix $innerNix --argstr name level2 --argstr script "$(cat level.sh)" --argstr dependency $script)
cat $path >$out
echo $path >>$out
SCRIPT
out=$(build level1)
cat "$out"
equal "levels" 3 "$(wc -l <"$out")"
equal "the bottom" bottom "$(cat "$(head -n 1 "$out")")"
for path in $(cat "$out"); do contains "closure" "$path" "$(closure "$out")"; done
store_is_clean
airlock ledger
chain=$(query "select group_concat(name, ' < ') from (select substr(c.derivation, 34) || ' by ' || substr(p.derivation, 34) as name
  from parents join sessions c on c.id = parents.session join sessions p on p.id = parents.parent order by c.id)")
equal "who asked for whom" "level2.drv by level1.drv < level3.drv by level2.drv" "$chain"
settled
