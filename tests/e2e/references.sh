#!/usr/bin/env bash
# Outputs that refer to what was added and built inside stay complete: registered, verified, signed,
# through garbage collection, and for dependents in the same command.
. "$(dirname "$0")/lib.sh"

step "signing keys for this store"
nix-store --generate-binary-cache-key airlock-test-1 "$work/secret" "$work/public" 
printf 'secret-key-files = %s\n' "$work/secret" >>/etc/nix/nix.conf
airlock-env stop-nix-daemon
airlock-env start-nix-daemon

outer both 'outputs = [ "out" "dev" ];' <<'SCRIPT'
echo added >file
added=$(nix-store --add file)
result=$(inner result 'mkdir $out; echo built >$out/content')
deeper=$(inner deeper 'echo $dependency >$out' "$result")
mkdir $out
ln -s $added $out/added
ln -s $result $out/result
echo "$deeper" >$dev
SCRIPT
cat >dependent.nix <<'NIX'
let both = import ./both.nix; shell = builtins.storePath (builtins.getEnv "AIRLOCK_SHELL");
in derivation {
  name = "dependent"; system = builtins.currentSystem; builder = "${shell}/bin/sh";
  PATH = "${shell}/bin";
  args = [ "-euc" "cat ${both}/result/content ${both}/added $(cat ${both.dev}) >$out; echo ${both} ${both.dev} >>$out" ];
}
NIX

step "a dependent, built in the same command, has the whole closure in its sandbox"
dependent=$(build dependent)
contains "what the dependent read" "built
added" "$(cat "$dependent")"
out=$(sed -n '$s/ .*//p' "$dependent")
dev=$(sed -n '$s/.* //p' "$dependent")
added=$(readlink "$out/added")
result=$(readlink "$out/result")
deeper=$(cat "$dev")
equal "references of out" "$(printf '%s\n' "$added" "$result" | sort)" "$(references "$out")"
equal "references of dev" "$deeper" "$(references "$dev")"
for path in "$added" "$result" "$deeper"; do
  contains "closure of the dependent" "$path" "$(closure "$dependent")"
done
echo "closure of dev: $(closure "$dev" | tr '\n' ' ')"

step "the store verifies"
store_is_clean

step "signatures hold for the new references"
nix_command store verify --no-contents --sigs-needed 1 --option secret-key-files '' --option trusted-public-keys "$(cat "$work/public")" "$out" "$dev" 2>verify.log || fail "$(cat verify.log)"

step "no debt is left"
settled

step "with only the output rooted, a collection keeps all of it"
mkdir -p "$state/gcroots/test"
ln -s "$out" "$state/gcroots/test/out"
ln -s "$dev" "$state/gcroots/test/dev"
nix-collect-garbage >gc.log 2>&1 || fail "$(cat gc.log)"
for path in "$out" "$dev" "$added" "$result" "$deeper"; do
  [ -e "$path" ] || [ -L "$path" ] || fail "$path was collected"
done
cat "$result/content" >/dev/null
[ ! -e "$dependent" ] || fail "the dependent, which has no root, was not collected"
store_is_clean

step "unrooted, all of it goes"
rm -r "$state/gcroots/test"
nix-collect-garbage >gc.log 2>&1 || fail "$(cat gc.log)"
for path in "$out" "$dev" "$added" "$result" "$deeper"; do
  [ ! -e "$path" ] || fail "$path is still there"
done
