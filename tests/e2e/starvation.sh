#!/usr/bin/env bash
# Builds that hold every build user and wait for builds inside them would wait for ever: one is ended, and told what to set.
. "$(dirname "$0")/lib.sh"

step "four build users"
sed -i 's/^nixbld:\([^:]*:[^:]*\):.*/nixbld:\1:nixbld1,nixbld2,nixbld3,nixbld4/' /etc/group
airlock-env stop-nix-daemon
airlock-env start-nix-daemon
equal "members of the group" nixbld1,nixbld2,nixbld3,nixbld4 "$(sed -n 's/^nixbld:[^:]*:[^:]*://p' /etc/group)"

outers() { # outers PREFIX COUNT SCRIPT: PREFIX.nix, a list of outers
  cat "$tests/prelude.sh" - >"$1.sh"
  cat >"$1.nix" <<NIX
builtins.genList (n: derivation {
  name = "$1-\${toString n}";
  system = builtins.currentSystem;
  number = toString n;
  shell = builtins.storePath "$AIRLOCK_SHELL";
  nix = builtins.storePath "$AIRLOCK_NIX";
  innerNix = $tests/inner.nix;
  builder = "\${builtins.storePath "$AIRLOCK_SHELL"}/bin/sh";
  args = [ "-eu" ./$1.sh ];
  PATH = "\${builtins.storePath "$AIRLOCK_NIX"}/bin:\${builtins.storePath "$AIRLOCK_SHELL"}/bin";
  requiredSystemFeatures = [ "airlock" ];
}) $2
NIX
}

step "200 builds, two at a time: all of them"
outers two 200 <<'SCRIPT'
cat $(inner "leaf-$number" "echo $number >\$out") >$out
SCRIPT
timeout 400 nix-build --no-out-link two.nix -j 2 >out 2>log || fail "status $?: $(tail -n 30 log)"
equal "how many were built" 200 "$(wc -l <out)"
equal "what they say" "$(seq 0 199)" "$(xargs cat <out)"

step "four at a time: all of them, or an end within 30 s that says what to set"
# All four are inside before the first asks, so that nobody has a build user left.
outers four 200 <<'SCRIPT'
sleep 2
cat $(inner "four-$number" "echo $number >\$out") >$out || echo "learnt of it" >$out
SCRIPT
status=0
timeout 30 nix-build --no-out-link four.nix -j 4 >out 2>log || status=$?
[ "$status" != 124 ] || fail "they wait for ever: $(tail -n 30 log)"
if [ "$status" = 0 ]; then
  equal "how many were built" 200 "$(wc -l <out)"
else
  contains "what to set" "set max-jobs below 4 in nix.conf, or add build users to the group nixbld" "$(cat log)"
  grep -m 1 "set max-jobs" log
fi
for number in $(seq 0 199); do
  drv=$(query "select derivation from sessions where derivation like '%-four-$number.drv' and note like 'condemned%'")
  [ -n "$drv" ] || continue
  out=$(nix-store -q --outputs "/nix/store/$drv")
  ! nix-store -q --hash "$out" 2>/dev/null || fail "a build that was ended has an output: $(cat "$out")"
done
store_is_clean
