#!/usr/bin/env bash
# Nix makes an output valid before the hook can add its references. What others build from it in that
# window gets them too: registered before or after the amendment, and even if its own hook is lost.
. "$(dirname "$0")/lib.sh"

step "signing keys for this store"
nix-store --generate-binary-cache-key airlock-test-1 "$work/secret" "$work/public"
printf 'secret-key-files = %s\n' "$work/secret" >>/etc/nix/nix.conf
airlock-env stop-nix-daemon
airlock-env start-nix-daemon

outer big <<'SCRIPT'
mkdir $out
inner leaf 'echo leaf >$out' >$out/ref
echo asked >&2
sleep 2
SCRIPT
plain() { # plain NAME SCRIPT [ATTRIBUTES]: a derivation that does not ask; in SCRIPT, $big is big and $NAME another one
  cat >"$1.nix" <<NIX
let shell = builtins.storePath "$AIRLOCK_SHELL"; in
derivation ({ name = "$1"; system = builtins.currentSystem; builder = "\${shell}/bin/sh"; PATH = "\${shell}/bin";
  args = [ "-euc" ''$2'' ]; } // (with { big = import ./big.nix; }; { ${3-} }))
NIX
  nix-instantiate "$1.nix" 2>/dev/null
}
early=$(plain early 'cat $big/ref >$out' 'inherit big;')
later=$(plain later 'cat $early >$out' 'early = import ./early.nix;')
strict=$(plain strict 'cat $big/ref >$out' 'inherit big; allowedReferences = [ ];')
waiting=$(plain waiting 'cat $big/ref >$out' 'inherit big;')
lost=$(plain lost 'cat $big/ref >$out' 'inherit big;')
drv=$(nix-instantiate big.nix 2>/dev/null)
output_of() { nix-store -q --outputs "$1"; }
out=$(output_of "$drv")
record=$debts/recent/${drv##*/}

# Asks the database alone: a client would add roots or wait.
sql() { sqlite3 "file:$state/db/db.sqlite?mode=ro" "$1"; }
is_valid() { [ "$(sql "select count(*) from ValidPaths where path = '$1'")" = 1 ]; }
has_lock_waiter() { grep -q 'waiting for lock' "$1"; }

step "the hook of big is kept waiting: a window as long as one likes"
nix-store -r "$drv" >big.out 2>big.log &
building=$!
eventually "the last question was asked" 60 grep -q asked big.log
exec 9<"$debts/${drv##*/}"
flock -s 9
eventually "big is valid" 60 is_valid "$out"
leaf=$(cat "$out/ref")
echo "leaf is $leaf"
equal "references of big in the window" "" "$(references "$out")"

step "builds that register in the window"
for built in "$early" "$later" "$strict"; do
  nix-store -r "$built" >>window.out 2>>window.log || fail "$built: $(cat window.log)"
  equal "references of ${built#*-} in the window" "" "$(references "$(output_of "$built")" | grep -v -e -big -e -early)"
done
unrelated=$(plain unrelated "echo $leaf >\$out")
nix-store -r "$unrelated" >>window.out 2>>window.log

step "builds that only begin in the window: their inputs are known, the locks on their outputs are not free"
touch "$(output_of "$waiting").lock" "$(output_of "$lost").lock"
exec 7>"$(output_of "$waiting").lock" 8>"$(output_of "$lost").lock"
flock -x 7
flock -x 8
nix-store -r "$waiting" >waiting.out 2>waiting.log &
building_waiting=$!
nix-store -r "$lost" >lost.out 2>lost.log &
building_lost=$!
eventually "one waits" 30 has_lock_waiter waiting.log
eventually "the other waits" 30 has_lock_waiter lost.log

step "the hook goes on"
flock -u 9 # a client that runs has inherited it
exec 9<&-
wait "$building" || fail "big: $(cat big.log)"
equal "references of big" "$leaf" "$(references "$out")"
equal "references of early" "$leaf" "$(references "$(output_of "$early")")"
equal "references of later" "$leaf" "$(references "$(output_of "$later")")"
equal "references of strict" "$leaf" "$(references "$(output_of "$strict")")"
contains "what is said of strict" "allowedReferences forbids (the output stays" "$(cat big.log)"
equal "references of what only happens to name it" "" "$(references "$(output_of "$unrelated")")"
nix_command store verify --no-contents --sigs-needed 1 --option secret-key-files '' --option trusted-public-keys "$(cat "$work/public")" \
  "$(output_of "$early")" "$(output_of "$later")" 2>verify.log || fail "$(cat verify.log)"

step "the record holds what the others may name, as long as they run"
[ ! -e "$debts/${drv##*/}" ] || fail "the debt is still there"
ls "$record"
airlock settle | tee settle.out
contains "what is said of the record" "still runs" "$(cat settle.out)"
[ -e "$record" ] || fail "the record is gone"
nix-collect-garbage >gc.log 2>&1 || fail "$(cat gc.log)"
[ -e "$leaf" ] || fail "$leaf was collected"
[ -e "$out" ] || fail "$out was collected"

step "a build that has nothing to do with it is not bothered"
nix-build --no-out-link -E 'derivation { name = "stranger"; system = builtins.currentSystem; builder = "/bin/sh";
  args = [ "-c" "echo >$out" ]; }' >stranger.out 2>stranger.log || fail "$(cat stranger.log)"
lacks "what its hook says" "still runs" "$(cat stranger.log)"

step "one of them registers now, and its own hook finds the record"
flock -u 7
exec 7>&-
wait "$building_waiting" || fail "waiting: $(cat waiting.log)"
equal "what it wrote" "$leaf" "$(cat "$(output_of "$waiting")")"
equal "its references" "$leaf" "$(references "$(output_of "$waiting")")"

step "the other one's hook is lost"
exec 9<"$record"
flock -s 9
flock -u 8
exec 8>&-
eventually "it is valid" 60 is_valid "$(output_of "$lost")"
hook_runs() { pgrep -f post-build >/dev/null; }
eventually "its hook waits" 30 hook_runs
hook=$(pgrep -f post-build | head -n 1)
worker=$(awk '/^PPid:/ { print $2 }' "/proc/$hook/status")
kill -9 "$worker" "$hook"
! wait "$building_lost" || fail "it succeeded although its worker was killed"
equal "its references" "" "$(references "$(output_of "$lost")")"
mkdir -p "$state/gcroots/test"
ln -s "$(output_of "$lost")" "$state/gcroots/test/lost"
nix-collect-garbage >gc.log 2>&1 || fail "$(cat gc.log)"
[ -e "$leaf" ] || fail "$leaf was collected"

step "the record is closed, and with it the last gap"
flock -u 9 # a client that runs has inherited it
exec 9<&-
over() { airlock settle >settle.out && [ ! -e "$debts/recent" ]; }
eventually "all that ran then is over" 30 over
cat settle.out
equal "its references" "$leaf" "$(references "$(output_of "$lost")")"
nix-collect-garbage >gc.log 2>&1 || fail "$(cat gc.log)"
[ ! -e "$out" ] || fail "big, which nothing holds, was not collected"
[ -e "$leaf" ] || fail "$leaf was collected"
store_is_clean
settled
rm -r "$state/gcroots/test"
