#!/usr/bin/env bash
# What people type, typed inside a build: what they expect, or one clear sentence. Nothing hangs, nothing is condemned.
. "$(dirname "$0")/lib.sh"

cat >set.nix <<'NIX'
# A small package set: a needs b.
{ shell }: let
  make = name: script: derivation {
    inherit name; system = builtins.currentSystem; builder = "${builtins.storePath shell}/bin/sh";
    PATH = "${builtins.storePath shell}/bin"; args = [ "-euc" script ];
  };
in rec {
  b = make "b" "echo b >$out";
  a = make "a" "cat ${b} >$out; echo a >>$out; echo log-of-a";
  broken = make "broken" "echo about to break; exit 7";
  self = make "self" "echo $out >$out";
  cores = make "cores" "echo cores $NIX_BUILD_CORES >$out";
}
NIX
outer types "set = $PWD/set.nix;" <<'SCRIPT'
nixc() { nix --extra-experimental-features nix-command "$@"; }
pick() { nix-build $set --no-out-link --argstr shell $shell "$@"; }
ok() { what=$1; shift; said=$("$@" 2>&1) || die "$what failed: $said"; echo "ok: $what" >&2; }
# says WHAT SENTENCE COMMAND...: it fails, and says this.
says() {
  what=$1 sentence=$2; shift 2
  if said=$("$@" 2>&1); then die "$what worked: $said"; fi
  case $said in *"$sentence"*) ;; *) die "$what says: $said" ;; esac
  echo "one sentence: $what: $(echo "$said" | grep -v '^warning' | tail -n 1)" >&2
}

pick -A a --dry-run 2>dry
grep -q -- '-a.drv' dry && grep -q -- '-b.drv' dry || die "--dry-run lists $(cat dry)"
! grep -q 'fetched' dry || die "--dry-run would fetch: $(cat dry)"
a=$(pick -A a 2>log)
[ "$(cat $a)" = "b
a" ] || die "-A a reads $(cat $a)"
grep -q log-of-a log || die "the log: $(cat log)"
pick -A a --dry-run 2>dry
! grep -q 'will be built' dry || die "--dry-run after the build: $(cat dry)"
echo "ok: nix-build -A, --dry-run" >&2
drv=$(nix-instantiate $set -A a --argstr shell $shell)
[ "$(nix-store -qR $a | wc -l)" -ge 1 ] || die "-qR of a"
nix-store -qR $drv | grep -q -- '-b.drv' || die "-qR of the derivation"
nix-store -qR --include-outputs $drv | grep -q $a || die "--include-outputs"
ok "nix-store -q --tree" nix-store -q --tree $drv
ok "nix-store -q --references" nix-store -q --references $drv
ok "nix-store -q --referrers" nix-store -q --referrers $shell
ok "nix-store -q --outputs" nix-store -q --outputs $drv
ok "nix-store -q --size" nix-store -q --size $a
[ "$(nix-store -q --deriver $a)" = unknown-deriver ] || die "the deriver"
nixc path-info --all >all
grep -q $a all && grep -q $shell all || die "--all lacks what is visible"
ok "nix path-info -rsSh" nixc path-info -rsSh $a
ok "nix-store --verify-path" nix-store --verify-path $a
made=$(nixc store make-content-addressed --json $a | grep -o '/nix/store/[^"]*' | tail -n 1)
[ "$made" != $a ] && cmp $made $a || die "make-content-addressed: $made"
echo "ok: nix store make-content-addressed" >&2
says "make-content-addressed of a path that names itself" "refers to itself" \
  nixc store make-content-addressed $(pick -A self 2>/dev/null)
nix-store --dump $a >dump
nix-hash --flat --type sha256 dump >/dev/null
nix-store --restore restored <dump
cmp restored $a || die "--dump and --restore"
nix-store --export $a >export
echo "ok: nix-store --dump, --restore, --export" >&2
says "nix-store --import" "add-content-addressed" nix-store --import <export
echo copied >file
file=$(nix-store --add file)
ok "nix copy to a file" nixc copy --to file://$PWD/cache $file
ok "nix copy from a file" nixc copy --from file://$PWD/cache --no-check-sigs $file
ok "nix store add-path" nixc store add-path ./file
ok "nix store ls" nixc store ls -l $shell/bin
says "nix copy of what was built, unsigned" "add-content-addressed" sh -c "nix --extra-experimental-features nix-command copy --to file://$PWD/cache2 $a && nix --extra-experimental-features nix-command copy --no-check-sigs --from file://$PWD/cache2 --refresh $a && nix-store --import <export"
if nixc log $drv >said 2>&1; then die "nix log found $(cat said)"; fi
grep -qE "not available|is not" said || die "nix log says $(cat said)"
echo "one sentence: nix log: $(grep -v '^warning' said | tail -n 1)" >&2
pick -A broken 2>said && die "broken was built"
grep -q "about to break" said && grep -q "exit code 7\|builder for" said || die "broken says $(cat said)"
echo "ok: a failure is told with its log" >&2
pick -A broken -K 2>said && die "broken was built"
! grep -q "keeping build directory" said || die "-K: $(cat said)"
echo "ok: -K" >&2
pick -A a -j 3 >/dev/null 2>&1 || die "-j 3"
pick -A a -j 0 >/dev/null 2>&1 || die "-j 0"
[ "$(cat $(pick -A cores --cores 3 2>/dev/null))" = "cores 3" ] || die "--cores"
pick -A a --option timeout 100 --option max-silent-time 50 2>said >/dev/null || die "--option: $(cat said)"
! grep -q "airlock ignores" said || die "--option timeout: $(cat said)"
pick -A a --option sandbox false 2>said >/dev/null || die "--option sandbox: $(cat said)"
grep -q "airlock ignores sandbox" said || die "--option sandbox says nothing: $(cat said)"
echo "ok: -j, --cores, --option" >&2
pick -A a --check 2>said && die "--check was done"
grep -q build-mode said || die "--check says $(cat said)"
echo "one sentence: --check: $(tail -n 1 said)" >&2
says "nix-collect-garbage" never nix-collect-garbage
says "nix-store --gc" never nix-store --gc
says "nix-store --delete" never nix-store --delete $a
says "nix-store --optimise" never nix-store --optimise
says "nix-store --verify" never nix-store --verify
says "a path that is not there" "not valid" nix-store -q --references /nix/store/00000000000000000000000000000000-none
[ "$(nix-instantiate --eval -E '1 + 1')" = 2 ] || die "--eval"
nix-shell -p 2>/dev/null </dev/null && die "nix-shell without <nixpkgs>"
nix-build $set -A b --argstr shell $shell -o linked >/dev/null 2>&1 || die "-o"
[ "$(cat linked)" = b ] || die "the link"
echo $a >$out
SCRIPT
out=$(build types)
grep -hE '^(ok|one sentence):' types.log
equal "references" "$(cat "$out")" "$(references "$out")"
equal "condemned" 0 "$(query "select count(*) from sessions where note like '%condemned%'")"

step "commands that follow each other go on over one connection to nix-daemon"
outer commands <<'SCRIPT'
for number in 1 2 3 4 5; do inner "number-$number" "echo $number >\$out"; done >$out
SCRIPT
connections() { grep -c "accepted connection.*airlock" "$AIRLOCK_LOGS/nix-daemon.log" || true; }
before=$(connections)
out=$(build commands)
equal "built inside" 5 "$(wc -l <"$out")"
equal "airlockd's connections: one for the commands, one for the roots" 2 "$(($(connections) - before))"
store_is_clean
