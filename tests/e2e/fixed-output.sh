#!/usr/bin/env bash
# What fixed-output builds may do for a sandbox: configured, and made tighter, never looser, by the derivation that asks.
. "$(dirname "$0")/lib.sh"

cat >fixed.nix <<'NIX'
{ shell, name, script, hash ? "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03" }:
derivation {
  inherit name; system = builtins.currentSystem; builder = "${builtins.storePath shell}/bin/sh";
  PATH = "${builtins.storePath shell}/bin"; args = [ "-euc" script ];
  outputHashAlgo = "sha256"; outputHashMode = "flat"; outputHash = hash;
}
NIX

# policy WORD: what the configuration says.
policy() {
  airlock-env stop-mediator
  echo "fixed-output = \"$1\"" >/etc/airlock/airlock.toml
  airlock-env start-mediator
}

# asks NAME [ATTRIBUTES]: NAME.nix builds one fixed output that succeeds and one that fails, catches what it can, and tells
# in its output what it learnt.
asks() {
  outer "$1" "fixed = $PWD/fixed.nix; ${2-}" <<'SCRIPT'
one() { nix-build $fixed --no-out-link --argstr shell $shell --argstr name "$1-$name" --argstr script "$2" ${3:+--argstr hash $3}; }
if one good 'echo an-answer; echo hello >$out' >path 2>said; then
  if grep '^an-answer' said >&2; then echo "good, with its log" >$out; else echo "good, without a log" >$out; fi
else
  grep -o 'fixed-output-closed' said | sort -u >$out
fi
if ! one bad 'echo another-answer; exit 1' $(echo "$name" | sha256sum | cut -d' ' -f1) 2>said; then
  if grep '^another-answer' said >&2; then echo "bad, with its log" >>$out; else grep -o 'fixed-output-closed' said | sort -u >>$out; fi
fi
SCRIPT
}

# learns NAME EXPECTED: it builds, and this is what it learnt.
learns() { equal "$1 learns" "$2" "$(tr '\n' ';' <"$(build "$1")")"; }

# is_ended NAME: it is ended when the second one fails, and no word of either log is in its own.
is_ended() {
  local derivation
  derivation=$(nix-instantiate "$1.nix" 2>/dev/null)
  refuses "$1" build "$1"
  lacks "the log" "answer" "$(nix-store --read-log "$derivation" | grep -v 'echo a')"
  contains "the log" "its log is not shown inside" "$output"
  equal "the rule in the ledger" sealed "$(rule_that_ended "$derivation")"
  refuses "its output" nix-store --check-validity "$(nix-store -q --outputs "$derivation")"
}

step "open"
policy open
asks open-says-nothing
learns open-says-nothing "good, with its log;bad, with its log;"
asks open-says-open 'airlockFixedOutput = "open";'
learns open-says-open "good, with its log;bad, with its log;"
asks open-says-sealed 'airlockFixedOutput = "sealed";'
is_ended open-says-sealed
asks open-says-closed 'airlockFixedOutput = "closed";'
learns open-says-closed "fixed-output-closed;fixed-output-closed;"

step "sealed"
policy sealed
asks sealed-says-nothing
is_ended sealed-says-nothing
asks sealed-says-open 'airlockFixedOutput = "open";'
is_ended sealed-says-open
asks sealed-says-closed 'airlockFixedOutput = "closed";'
learns sealed-says-closed "fixed-output-closed;fixed-output-closed;"

step "closed"
policy closed
asks closed-says-open 'airlockFixedOutput = "open";'
learns closed-says-open "fixed-output-closed;fixed-output-closed;"

step "a word that is none"
asks shut 'airlockFixedOutput = "shut";'
refuses "it" build shut
contains "the reason" 'airlockFixedOutput must be "open", "sealed" or "closed"' "$output$(cat "$AIRLOCK_LOGS/nix-daemon.log")"
store_is_clean
