#!/usr/bin/env bash
# An output that may not have the references it needs is not kept, and the next build fails again.
. "$(dirname "$0")/lib.sh"

no_longer_valid() { ! nix-store --check-validity "$1" 2>/dev/null; }
fails() { # fails NAME: building NAME.nix
  if nix-build --no-out-link "$1.nix" >"$1.out" 2>"$1.log"; then fail "$1 was built: $(cat "$1.out" "$1.log")"; fi
  grep 'post-build-hook: airlock' "$1.log" || grep 'airlock:' "$1.log" || fail "no clear message in: $(cat "$1.log")"
}

step "a fixed output that names what was built inside"
outer inside <<'SCRIPT'
inner leaf 'echo leaf >$out' >$out
SCRIPT
leaf=$(cat "$(build inside)")
fixed() { printf 'outputHashAlgo = "sha256"; outputHashMode = "flat"; outputHash = "%s";' "$(sha256sum | cut -d ' ' -f 1)"; }
outer naming "$(echo "$leaf" | fixed)" <<'SCRIPT'
inner leaf 'echo leaf >$out' >$out
SCRIPT
naming=$(nix-store -q --outputs "$(nix-instantiate naming.nix 2>/dev/null)")
for try in first second; do
  fails naming
  contains "the $try message" "$naming, names $leaf" "$(cat naming.log)"
  contains "the $try message" "the output of a fixed-output derivation can have no references" "$(cat naming.log)"
  no_longer_valid "$naming" || fail "$naming is still valid"
  settled
done

step "one that does not is kept"
outer content "$(echo leaf | fixed)" <<'SCRIPT'
cat $(inner leaf 'echo leaf >$out') >$out
SCRIPT
equal "its content" leaf "$(cat "$(build content)")"

step "an output in violation that only its sibling refers to"
cat >siblings.nix <<NIX
let shell = builtins.storePath "$AIRLOCK_SHELL"; nix = builtins.storePath "$AIRLOCK_NIX"; in
derivation {
  name = "siblings"; system = builtins.currentSystem; __structuredAttrs = true; outputs = [ "out" "lib" "doc" ];
  outputChecks.lib.allowedReferences = [ ];
  requiredSystemFeatures = [ "airlock" ]; builder = "\${shell}/bin/sh";
  args = [ "-euc" ''
    export PATH=\${nix}/bin:\${shell}/bin
    . /nix/var/airlock/env
    path() { sed "s,.*\"\$1\":\"\([^\"]*\)\".*,\1," .attrs.json; }
    echo added >file
    nix-store --add file >\$(path lib)
    path lib >\$(path out)
    echo alone >\$(path doc)
  '' ];
}
NIX
drv=$(nix-instantiate siblings.nix 2>/dev/null)
output() { nix-store -q --binding "$1" "$drv"; }
for try in first second; do
  fails siblings
  contains "the $try message" "allowedReferences forbids (the output is no longer valid)" "$(cat siblings.log)"
  contains "the $try message" "output 'out', $(output out), refers to such an output and is no longer valid either" "$(cat siblings.log)"
  no_longer_valid "$(output lib)" || fail "lib is still valid"
  no_longer_valid "$(output out)" || fail "out is still valid"
  nix-store --check-validity "$(output doc)" || fail "doc, which has nothing to do with it, is not valid"
  settled
done
store_is_clean
