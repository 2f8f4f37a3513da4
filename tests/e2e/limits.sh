#!/usr/bin/env bash
# Each limit that a session can reach ends the build that reached it, so that a builder that goes on regardless has no
# output; the reason, with the key to raise, is in the build log.
. "$(dirname "$0")/lib.sh"

# with_limits LINE...: airlock.toml's [limits]
with_limits() {
  airlock-env stop-mediator
  printf '%s\n' '[limits]' "$@" >/etc/airlock/airlock.toml
  airlock-env start-mediator
}
# ended NAME KEY: NAME.nix does not build, for the limit KEY, and left nothing.
ended() {
  refuses "$1" build "$1"
  contains "the log" "limits.$2" "$(cat "$1.log")"
  grep -m 1 "limits.$2" "$1.log"
  local out
  out=$(nix-store -q --outputs "$(nix-instantiate "$1.nix" 2>/dev/null)")
  equal "valid outputs of $1" 0 "$(sqlite3 "file:$state/db/db.sqlite?mode=ro" "select count(*) from ValidPaths where path = '$out'")"
}

step "paths"
with_limits 'paths = 3'
outer few <<'SCRIPT'
for n in 1 2 3; do echo $n >f$n; nix-store --add f$n; done >$out
SCRIPT
build few >/dev/null
outer many <<'SCRIPT'
for n in 1 2 3 4 5; do echo many $n >f$n; nix-store --add f$n || true; done >$out
SCRIPT
ended many paths

step "bytes"
with_limits 'granted-bytes = 100000'
outer bulky <<'SCRIPT'
dd if=/dev/zero of=zeros bs=1000 count=200 2>/dev/null
nix-store --add zeros >$out || echo "learnt of the limit" >$out
SCRIPT
ended bulky granted-bytes

step "time"
with_limits 'build-time = 2'
outer slow <<'SCRIPT'
inner sleeps 'sleep 60; echo >$out' >$out || echo "learnt of the limit" >$out
SCRIPT
ended slow build-time

step "requests of the machine"
with_limits 'machine-builds = 1'
outer crowd <<'SCRIPT'
inner first 'sleep 4; echo >$out' >/dev/null &
sleep 1
inner second 'echo second >$out' >$out || echo "learnt of the limit" >$out
wait || true
SCRIPT
ended crowd machine-builds

step "requests of one session: they wait for their turn"
with_limits 'builds = 1'
outer queue <<'SCRIPT'
inner queued-1 'sleep 1; echo 1 >$out' >one &
inner queued-2 'echo 2 >$out' >two
wait
cat one two >$out
SCRIPT
equal "both were built" 2 "$(wc -l <"$(build queue)")"

step "depth"
with_limits 'depth = 1'
outer deep <<'SCRIPT'
nix-build $innerNix --no-out-link --argstr shell $shell --argstr nix $nix --argstr features airlock --argstr name deeper --argstr script 'echo >$out' || true
echo "learnt of the limit" >$out
SCRIPT
refuses "a build within a build" build deep
contains "the log" "limit" "$(cat deep.log)"

step "fixed-output builds, tightened by the derivation"
with_limits 'paths = 100000'
cat >fixed.nix <<'NIX'
{ shell }: derivation {
  name = "fixed"; system = builtins.currentSystem; builder = "${builtins.storePath shell}/bin/sh"; args = [ "-c" "echo hello >$out" ];
  outputHashAlgo = "sha256"; outputHashMode = "flat"; outputHash = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
}
NIX
outer closed "fixed = $PWD/fixed.nix; airlockFixedOutput = \"closed\";" <<'SCRIPT'
if said=$(nix-build $fixed --no-out-link --argstr shell $shell 2>&1); then die "it was built"; fi
echo "$said" | grep -o 'fixed-output-closed' >$out
SCRIPT
equal "the rule" fixed-output-closed "$(cat "$(build closed)")"
airlock-env stop-mediator
echo 'fixed-output = "closed"' >/etc/airlock/airlock.toml
airlock-env start-mediator
outer loosened "fixed = $PWD/fixed.nix; airlockFixedOutput = \"open\";" <<'SCRIPT'
if said=$(nix-build $fixed --no-out-link --argstr shell $shell 2>&1); then die "it was built"; fi
echo "$said" | grep -o 'fixed-output-closed' >$out
SCRIPT
equal "the rule, not loosened" fixed-output-closed "$(cat "$(build loosened)")"
store_is_clean
