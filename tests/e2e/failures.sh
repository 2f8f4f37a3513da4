#!/usr/bin/env bash
# A failure that follows from the derivation is an ordinary error; one that is the host's, or the
# network's, ends the build that would learn of it.
. "$(dirname "$0")/lib.sh"

cat >chain.nix <<'NIX'
# "top" needs "bottom", which runs the script.
{ shell, script }:
let
  make = name: script: derivation {
    inherit name; system = builtins.currentSystem; builder = "${builtins.storePath shell}/bin/sh";
    PATH = "${builtins.storePath shell}/bin"; args = [ "-euc" script ];
  };
in make "top" "cat ${make "bottom" script} >$out"
NIX
cat >fixed.nix <<'NIX'
# Its output must be "hello", or what else the hash says.
{ shell, script, hash ? "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03" }:
derivation {
  name = "fixed"; system = builtins.currentSystem; builder = "${builtins.storePath shell}/bin/sh";
  PATH = "${builtins.storePath shell}/bin"; args = [ "-euc" script ];
  outputHashAlgo = "sha256"; outputHashMode = "flat";
  outputHash = hash;
}
NIX

step "ordinary failures: the build sees them and goes on"
outer ordinary "chain = $PWD/chain.nix;" <<'SCRIPT'
if inner fails 'echo trying; exit 3' 2>said; then die "it did not fail"; fi
grep -q trying said || die "the log is missing: $(cat said)"
if nix-build $chain --no-out-link --argstr shell $shell --argstr script 'exit 4' 2>said; then die "the chain did not fail"; fi
cat said >&2
echo "went on" >$out
SCRIPT
equal "after ordinary failures" "went on" "$(cat "$(build ordinary)")"

step "a time-out, of a dependency, ends the build"
outer late "chain = $PWD/chain.nix;" <<'SCRIPT'
nix-build $chain --no-out-link --argstr shell $shell --argstr script 'sleep 60' --timeout 2 || true
echo "learnt of it" >$out
SCRIPT
refuses "a build that would learn of a time-out" build late
contains "the log" "for a reason of this machine" "$output"

step "a fixed-output derivation is built, and its log withheld"
outer fetches "fixed = $PWD/fixed.nix;" <<'SCRIPT'
path=$(nix-build $fixed --no-out-link --argstr shell $shell --argstr script 'echo an-answer-of-the-network; echo hello >$out' 2>said)
cat said >&2
[ "$(cat $path)" = hello ] || die "it reads $(cat $path)"
! grep -v 'building\|derivation\|-fixed.drv' said | grep -q answer || die "the log came through"
echo $path >$out
SCRIPT
out=$(build fetches)
equal "its reference" "$(cat "$out")" "$(references "$out")"

step "one that fails ends the build"
outer probes "fixed = $PWD/fixed.nix;" <<'SCRIPT'
nix-build $fixed --no-out-link --argstr shell $shell --argstr hash $(echo x | sha256sum | cut -d' ' -f1) --argstr script 'echo another-answer; exit 1' 2>said || true
echo "learnt: $(cat said)" >$out
SCRIPT
refuses "a build that would learn of the network" build probes
lacks "the log" another-answer "$output"
contains "the log" "fixed-output derivation" "$output"

step "a fixed-output build that adds its own output is told so at once"
echo hello >own
outer own-output "outputHashMode = \"flat\"; outputHashAlgo = \"sha256\"; own = ./own;
  outputHash = \"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\";" <<'SCRIPT'
cp $own own-output
if said=$(nix-store --add-fixed sha256 own-output 2>&1); then die "it was added: $said"; fi
echo "refused: $said" >&2
echo other >other
nix-store --add-fixed sha256 other >/dev/null
echo hello >$out
SCRIPT
equal "the fixed output" hello "$(cat "$(build own-output)")"
contains "the refusal" no-cycle "$(cat own-output.log)"

step "sessions within sessions: a condemned build ends those that wait for it"
outer above "fixed = $PWD/fixed.nix;" <<'SCRIPT'
probe=". /nix/var/airlock/env; nix-build \$dependency --no-out-link --argstr shell \$shell --argstr hash \$(echo y | sha256sum | cut -d' ' -f1) --argstr script 'exit 1' || true; echo learnt >\$out"
nix-build $innerNix --no-out-link --argstr shell $shell --argstr nix $nix --argstr features airlock --argstr name probing --argstr script "$probe" --argstr dependency $fixed || true
echo "learnt of it" >$out
SCRIPT
refuses "a build whose inner build was condemned" build above
contains "the log" "was ended" "$output"
store_is_clean
equal "condemned sessions in the ledger" 4 "$(query "select count(*) from sessions where note like 'condemned: %'")"
