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

# ended_without_output NAME REASON: the build NAME failed for the reason, and left nothing that is valid.
ended_without_output() {
  local made row
  refuses "$1" build "$1"
  contains "$1: the log" "$2" "$output"
  made=$(nix-store -q --outputs "$(nix-instantiate "$1.nix" 2>/dev/null)")
  row=$(sqlite3 "file:$state/db/db.sqlite?mode=ro" "select count(*) from ValidPaths where path = '$made'")
  equal "$1: valid outputs in the database" 0 "$row"
  if nix-store -q --hash "$made" >/dev/null 2>&1; then fail "$1: $made is valid"; fi
  contains "$1: the ledger" "$2" "$(query "select note from sessions where derivation like '%-$1.drv'")"
  printf 'ok: %s: why: %s\n' "$1" "$(grep -m 1 -o 'airlock.*' <<<"$output")"
}

step "ordinary failures: the build sees them and goes on"
outer ordinary "chain = $PWD/chain.nix;" <<'SCRIPT'
if inner fails 'echo trying; exit 3' 2>said; then die "it did not fail"; fi
grep -q trying said || die "the log is missing: $(cat said)"
# What a builder prints is not the reason of its failure.
if inner prints 'echo "builder failed due to signal 9 (Killed)"; echo "it timed out" >&2; exit 3' 2>said; then die "it did not fail"; fi
grep -q "signal 9" said || die "the log is missing: $(cat said)"
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
ended_without_output late "for a reason of this machine"

step "a fixed-output derivation is built, and its log withheld: from the client, from -vvv, as JSON, and from nix log"
outer fetches "fixed = $PWD/fixed.nix;" <<'SCRIPT'
nix --version >&2
n=0
for how in "" -vvvvv "--log-format internal-json" "--log-format raw"; do
  n=$((n + 1))
  # The text is put together while building, so that it is in the log and not in the derivation.
  nix-build $fixed --no-out-link --argstr shell $shell $how --argstr hash $(echo hello-$n | sha256sum | cut -d' ' -f1) \
    --argstr script "printf 'an-%s\n' answer-of-the-network; printf 'an-%s\n' answer-of-the-network >&2; echo hello-$n >\$out" >path 2>said
  [ "$(cat $(cat path))" = hello-$n ] || die "it reads $(cat $(cat path))"
  ! grep -q an-answer said || die "the log came through with '$how': $(cat said)"
done
drv=$(nix-instantiate $fixed --argstr shell $shell --argstr hash $(echo hello-1 | sha256sum | cut -d' ' -f1) \
  --argstr script "printf 'an-%s\n' answer-of-the-network; printf 'an-%s\n' answer-of-the-network >&2; echo hello-1 >\$out" 2>/dev/null)
nix --extra-experimental-features nix-command log $drv >said 2>&1 && die "there was a log: $(cat said)"
! grep -q an-answer said || die "nix log told: $(cat said)"
nix-store --read-log $drv >said 2>&1 && die "there was a log: $(cat said)"
! grep -q an-answer said || die "--read-log told: $(cat said)"
echo "asked for $drv" >&2
cat path >$out
SCRIPT
out=$(build fetches)
equal "its reference" "$(cat "$out")" "$(references "$out")"
lacks "the log of the build that asked" an-answer "$(cat fetches.log)"
# Kept for the user.
contains "the host's own log of it" an-answer-of-the-network \
  "$(nix-store --read-log "$(sed -n 's/^.*asked for //p' fetches.log)" 2>&1)"

step "one that fails ends the build, however the failure is caught, and leaves no output"
cat >uses-fixed.nix <<'NIX'
# An ordinary derivation that needs a fixed-output one.
{ shell, script, hash, fixed }:
derivation {
  name = "uses-fixed"; system = builtins.currentSystem; builder = "${builtins.storePath shell}/bin/sh";
  PATH = "${builtins.storePath shell}/bin"; args = [ "-c" "cat ${import fixed { inherit shell script hash; }} >$out" ];
}
NIX
# probe NAME <COMMAND: a build that runs COMMAND, catches what comes of it, writes that to $out and exits 0.
probe() {
  outer "$1" "fixed = $PWD/fixed.nix; usesFixed = $PWD/uses-fixed.nix;" <<SCRIPT
trap '' HUP INT TERM
arguments="--argstr shell \$shell --argstr hash \$(echo $1 | sha256sum | cut -d' ' -f1)"
script="printf 'another-%s\n' answer; exit 1"
{ $(cat); } >said 2>&1
status=\$?
echo "learnt \$status: \$(cat said)" >\$out
exit 0
SCRIPT
}
probe probes <<'COMMAND'
set +e; nix-build $fixed --no-out-link $arguments --argstr script "$script"
COMMAND
probe probes-realise <<'COMMAND'
set +e; nix-store -r $(nix-instantiate $fixed $arguments --argstr script "$script")
COMMAND
probe probes-below <<'COMMAND'
set +e; nix-build $usesFixed --no-out-link $arguments --argstr fixed $fixed --argstr script "$script"
COMMAND
# The hash that Nix found would be an answer as well.
probe probes-content <<'COMMAND'
set +e; nix-build $fixed --no-out-link $arguments --argstr script 'echo what-the-network-said >$out'
COMMAND
for name in probes-content probes probes-realise probes-below; do
  ended_without_output "$name" "fixed-output derivation"
  lacks "$name: the log" another-answer "$output"
  lacks "$name: the log" "$(echo what-the-network-said | sha256sum | cut -d' ' -f1)" "$output"
  lacks "$name: the log" "got:" "$output"
done

step "a fixed-output build that adds its own output is told so at once, whatever hash it has"
echo hello >own
for algorithm in md5 sha1 sha256 sha512; do
  name=own-$algorithm
  digits=$("${algorithm}sum" own)
  outer "$name" "outputHashMode = \"flat\"; outputHashAlgo = \"$algorithm\"; own = ./own; algorithm = \"$algorithm\";
    outputHash = \"${digits%% *}\";" <<'SCRIPT'
cp $own own-$algorithm
if said=$(nix-store --add-fixed $algorithm own-$algorithm 2>&1); then die "it was added: $said"; fi
echo "refused: $said" >&2
echo other >other
[ "$(cat $(nix-store --add-fixed $algorithm other))" = other ]
mkdir -p folder/below
[ -d $(nix-store --add-fixed --recursive $algorithm folder)/below ]
echo hello >$out
SCRIPT
  equal "the fixed output" hello "$(cat "$(build "$name")")"
  contains "the refusal" no-cycle "$(cat "$name.log")"
done

step "sessions within sessions: a condemned build ends those that wait for it"
outer above "fixed = $PWD/fixed.nix;" <<'SCRIPT'
probe=". /nix/var/airlock/env; nix-build \$dependency --no-out-link --argstr shell \$shell --argstr hash \$(echo y | sha256sum | cut -d' ' -f1) --argstr script 'exit 1' || true; echo learnt >\$out"
nix-build $innerNix --no-out-link --argstr shell $shell --argstr nix $nix --argstr features airlock --argstr name probing --argstr script "$probe" --argstr dependency $fixed || true
echo "learnt of it" >$out
SCRIPT
refuses "a build whose inner build was condemned" build above
contains "the log" "was ended" "$output"
store_is_clean
equal "condemned sessions in the ledger" 7 "$(query "select count(*) from sessions where note like 'condemned: %'")"
