#!/usr/bin/env bash
# Builds that hold every build user and wait inside for another: with enough users all of them succeed, and without one
# of them ends, soon, with a sentence on what to set. Nothing hangs.
. "$(dirname "$0")/lib.sh"

# many NAME COUNT: writes NAME.nix, that many derivations that build one inner derivation each, catch it when that fails,
# and succeed.
many() {
  outer "$1" "inherit number; name = \"$1-\${number}\";" <<'SCRIPT'
inner inner-$name "sleep 0.3; echo $name >\$out" >path 2>said || { cat said >&2; echo "learnt of it" >$out; exit 0; }
cat $(cat path) >$out
SCRIPT
  sed -i '1s/^/number: /' "$1.nix"
  cat >"all-$1.nix" <<NIX
builtins.genList (n: import ./$1.nix (toString n)) $2
NIX
}

step "200 builds with 4 build users, two at once"
build_users 4
many pairs 200
# The bound is for a machine that is busy with other things; nothing here waits for a build user.
timeout 540 nix-build --no-out-link all-pairs.nix -j 2 >out 2>log || fail "status $?: $(tail -n 30 log)"
equal "how many succeeded" 200 "$(xargs cat <out | sort -u | grep -c '^pairs-[0-9]*$')"
lacks "the log" "waiting for" "$(grep -v building log)"
equal "condemned sessions" 0 "$(query "select count(*) from sessions where note like 'condemned: %'")"

step "as many at once as there are build users"
many fours 200
sentence="all 4 build users of this machine are held by builds that wait for builds inside them: set max-jobs below 4 in nix.conf, or add build users to the group nixbld"
status=0
timeout 30 nix-build --no-out-link all-fours.nix -j 4 >out 2>log || status=$?
case $status in
  0) equal "how many succeeded" 200 "$(wc -l <out)" ;;
  124) fail "it still ran after 30 s: $(tail -n 30 log)" ;;
  *)
    contains "what the user reads" "$sentence" "$(cat log)"
    starved=$(query "select derivation from sessions where note like 'condemned: all 4 build users%'")
    [ "$(wc -l <<<"$starved")" -lt 4 ] || fail "more were ended than needed: $starved"
    for derivation in $starved; do
      derivation=/nix/store/$derivation
      contains "its build log" "$sentence" "$(nix-store --read-log "$derivation")"
      refuses "an output of $derivation" nix-store --check-validity "$(nix-store -q --outputs "$derivation")"
    done
    ;;
esac
echo "ok: it ended with status $status: $(grep -o "$sentence" log | sort -u)"
store_is_clean
