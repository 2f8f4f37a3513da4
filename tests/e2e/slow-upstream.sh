#!/usr/bin/env bash
# A builder may end while a question of its is still on its way in nix-daemon, for as long as something
# else holds what nix-daemon needs. The hook that settles the build does not wait for that.
. "$(dirname "$0")/lib.sh"

echo "to be added" >file
added=$(nix-store --add file)
nix-store --delete "$added" >delete.log 2>&1 || fail "$(cat delete.log)"
outer leaving <<'SCRIPT'
inner leaf 'echo leaf >$out' >$out
echo "to be added" >file
nix-store --add file &
sleep 2
SCRIPT
touch "$added.lock"
exec 9<"$added.lock"
flock -x 9

step "a build that leaves a question open is settled"
out=$(build leaving 9<&-)
equal "references" "$(cat "$out")" "$(references "$out")"
[ ! -e "$added" ] || fail "the question was answered: nothing was tested"

step "the question's end changes nothing"
flock -u 9
exec 9<&-
eventually "it is answered" 30 [ -e "$added" ]
settled
store_is_clean
airlock status
