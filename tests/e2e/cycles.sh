#!/usr/bin/env bash
# A build that asks for its own output is told so; one that, through others, waits for itself is ended with the chain
# spelled out; two that merely want the same thing are left in peace.
. "$(dirname "$0")/lib.sh"

# Every derivation here is made by one file, so that a build can make the others' again, and its own.
cat >family.nix <<NIX
{ name, partner ? "", family, script }: derivation {
  inherit name partner;
  script = builtins.storePath script;
  system = builtins.currentSystem;
  shell = builtins.storePath "$AIRLOCK_SHELL";
  nix = builtins.storePath "$AIRLOCK_NIX";
  family = builtins.storePath family;
  builder = "\${builtins.storePath "$AIRLOCK_SHELL"}/bin/sh";
  args = [ "-eu" (builtins.storePath script) ];
  PATH = "\${builtins.storePath "$AIRLOCK_NIX"}/bin:\${builtins.storePath "$AIRLOCK_SHELL"}/bin";
  requiredSystemFeatures = [ "airlock" ];
}
NIX
cat >family.sh <<'SCRIPT'
. /nix/var/airlock/env
# The others are named by what they are for the host too: the files in the store, not copies of them.
member() { nix-build "$family" --no-out-link --argstr family "$family" --argstr script "$script" --argstr name "$1" --argstr partner "$2"; }
case $name in
  self)
    status=0
    member self '' 2>said || status=$?
    [ $status != 0 ] || { echo "INSIDE: it built itself" >&2; exit 1; }
    grep no-cycle said >&2
    echo "told so" >$out
    ;;
  leaf) echo leaf >$out ;;
  wants-leaf-*) member leaf '' >$out ;;
  *) member "$partner" "$name" || true; echo "went on" >$out ;;
esac
SCRIPT
family=$(nix-store --add family.nix) script=$(nix-store --add family.sh)
member() { timeout 90 nix-build "$family" --no-out-link --argstr family "$family" --argstr script "$script" --argstr name "$1" --argstr partner "$2"; }

step "itself: an ordinary error"
out=$(member self '' 2>log) || fail "$(cat log)"
equal "the build that asked for itself" "told so" "$(cat "$out")"
contains "the log" no-cycle "$(cat log)"

step "two that build each other"
status=0
member one two >out 2>log || status=$?
[ "$status" != 124 ] || fail "they wait for each other: $(cat log)"
[ "$status" != 0 ] || fail "it was built: $(cat log)"
contains "why" "one.drv waits for" "$(cat log)"
contains "why" "break the cycle" "$(cat log)"
grep -m 1 "break the cycle" log

step "two started by hand that build each other"
for pair in "east west" "west east"; do
  # shellcheck disable=SC2086
  set -- $pair
  (member "$1" "$2" >"$1.out" 2>"$1.log"; echo $? >"$1.status") &
done
wait
[ "$(cat east.status west.status | grep -c 124)" = 0 ] || fail "they wait for each other: $(cat east.log west.log)"
contains "why" "break the cycle" "$(cat east.log west.log)"

step "two that want the same are no cycle"
nix-build --no-out-link -E "map (name: import $family { inherit name; family = $family; script = $script; }) [ \"wants-leaf-1\" \"wants-leaf-2\" ]" -j 2 >out 2>log || fail "$(cat log)"
equal "how many" 2 "$(wc -l <out)"
equal "what both got" leaf "$(cat "$(xargs cat <out | sort -u)")"
store_is_clean
