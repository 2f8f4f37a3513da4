#!/usr/bin/env bash
# A build that waits for itself ends: at once and in an ordinary way when its derivation says so, with the chain spelled
# out when that depends on who called. Two that want the same are no cycle.
. "$(dirname "$0")/lib.sh"

# One file that is every derivation of this test, inside builds too: a builder evaluates it again.
cat >ring.nix <<'NIX'
{ which, shell, nix, ring }:
let path = builtins.storePath;
in derivation {
  name = which;
  system = builtins.currentSystem;
  builder = "${path shell}/bin/sh";
  PATH = "${path nix}/bin:${path shell}/bin";
  requiredSystemFeatures = [ "airlock" ];
  inherit which;
  shell = path shell;
  nix = path nix;
  ring = path ring;
  args = [ "-euc" ''
    . /nix/var/airlock/env
    ask() { nix-build "$ring" --no-out-link --argstr which "$1" --argstr shell "$shell" --argstr nix "$nix" --argstr ring "$ring"; }
    case $which in
      self)
        if ask self 2>said; then echo "it built itself" >&2; exit 1; fi
        grep -q no-cycle said || { cat said >&2; exit 1; }
        echo "was told" >$out ;;
      left) sleep 1; ask right || true; echo "learnt of it" >$out ;;
      right) sleep 1; ask left || true; echo "learnt of it" >$out ;;
      first) ask second || true; echo "learnt of it" >$out ;;
      second) ask third || true; echo "learnt of it" >$out ;;
      third) ask first || true; echo "learnt of it" >$out ;;
      one | two) echo "$which: $(cat $(ask shared))" >$out ;;
      shared) sleep 2; echo shared-result >$out ;;
    esac
  '' ];
}
NIX
ring=$(nix-store --add ring.nix)

# ring JOBS BOUND NAME...: builds them at once, in at most BOUND seconds.
ring() {
  local jobs=$1 bound=$2 names=()
  shift 2
  for name in "$@"; do names+=("(import $ring { which = \"$name\"; shell = \"$AIRLOCK_SHELL\"; nix = \"$AIRLOCK_NIX\"; ring = \"$ring\"; })"); done
  timeout "$bound" nix-build --no-out-link -j "$jobs" --keep-going -E "[ ${names[*]} ]"
}

# no_output NAME...: nothing that they made is valid.
no_output() {
  local name path
  for name in "$@"; do
    for path in /nix/store/*-"$name"; do
      if nix-store --check-validity "$path" 2>/dev/null; then fail "$path is valid: $(cat "$path")"; fi
    done
  done
  echo "ok: no valid output of $*"
}

step "a build that asks for itself"
equal "what it says" "was told" "$(cat "$(ring 1 60 self 2>log || fail "$(cat log)")")"
equal "its verdict" "deny no-cycle" "$(query "select verdict || ' ' || rule from operations where rule = 'no-cycle'")"

step "two that ask for each other"
status=0
ring 2 100 left right >log 2>&1 || status=$?
cat log
[ $status -ne 0 ] || fail "they succeeded"
[ $status -ne 124 ] || fail "they did not end"
grep -E 'a build would wait for itself: [a-z0-9]+-(left|right)\.drv waits for [a-z0-9]+-(left|right)\.drv, which asks for' log ||
  fail "the chain is not in the log"
no_output left right

step "three in a ring, the chain from the first to the last"
status=0
ring 1 100 first >log 2>&1 || status=$?
cat log
[ $status -ne 0 ] || fail "it succeeded"
[ $status -ne 124 ] || fail "it did not end"
grep -E 'wait for itself: [a-z0-9]+-first\.drv waits for [a-z0-9]+-second\.drv, which waits for [a-z0-9]+-third\.drv, which asks for an output of the first' log ||
  fail "the chain is not in the log"
no_output first second third
contains "the ledger" "wait for itself" "$(query "select note from sessions where derivation like '%-third.drv'")"

step "two that ask for the same third"
results=$(ring 2 100 one two 2>log || fail "$(cat log)")
equal "both" "one: shared-result two: shared-result" "$(xargs cat <<<"$results" | xargs)"
equal "sessions of the third" 1 "$(query "select count(*) from sessions where derivation like '%-shared.drv'")"
store_is_clean
[ -z "$(ls -A "$debts")" ] || fail "debts left: $(ls -R "$debts")"
