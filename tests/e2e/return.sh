#!/usr/bin/env bash
# `airlock return DRV` as a builder's last step: the outputs are what the continuation built, under the outer's names, and
# complete.
# shellcheck disable=SC2016  # scripts and expressions in quotes are for the sandbox to expand
. "$(dirname "$0")/lib.sh"
nix_files=$(cd -- "$tests/../../scripts/nix" && pwd -P)

step "plain: files, links, folders, and what is built inside stays referred to"
outer plain <<'SCRIPT'
used=$(inner used 'echo used >$out')
drv=$(nix-instantiate $innerNix --argstr shell $shell --argstr name plain --argstr dependency $used --argstr script '
  mkdir -p $out/bin $out/empty; echo "#! $shell/bin/sh" >$out/bin/run; chmod +x $out/bin/run
  ln -s $dependency $out/used; ln -s $out/bin/run $out/self; ln -s nowhere $out/dangling; echo $out >$out/me' 2>/dev/null)
exec /nix/var/airlock/bin/airlock return $drv
SCRIPT
out=$(build plain)
equal "entries" "bin dangling empty me self used" "$(cd "$out" && echo *)"
equal "a link to itself" "$out/bin/run" "$(readlink "$out/self")"
equal "its own name" "$out" "$(cat "$out/me")"
if [ ! -x "$out/bin/run" ] || [ -x "$out/me" ]; then fail "executable bits"; fi
used=$(readlink "$out/used")
equal "what was built inside" used "$(cat "$used")"
equal "references" "$(printf '%s\n' "$AIRLOCK_SHELL" "$out" "$used" | sort)" "$(references "$out")"
store_is_clean
ln -s "$out" "$state/gcroots/plain"
settled
nix-collect-garbage >gc.log 2>&1 || fail "$(cat gc.log)"
equal "after a collection" used "$(cat "$out/used")"
rm "$state/gcroots/plain"

step "more outputs than one, that name each other"
cat >multi-inner.nix <<'NIX'
{ shell, name }: derivation {
  inherit name; system = builtins.currentSystem; builder = "${builtins.storePath shell}/bin/sh"; PATH = "${builtins.storePath shell}/bin";
  outputs = [ "out" "dev" ]; args = [ "-euc" "echo $out >$out; mkdir $dev; echo $out >$dev/out; echo $dev >$dev/me" ];
}
NIX
outer multi 'outputs = [ "dev" "out" ]; multi = ./multi-inner.nix;' <<'SCRIPT'
exec /nix/var/airlock/bin/airlock return $(nix-instantiate $multi --argstr shell $shell --argstr name multi)
SCRIPT
dev=$(build multi)
out=$(cat "$dev/out")
equal "out names itself" "$out" "$(cat "$out")"
equal "dev names itself" "$dev" "$(cat "$dev/me")"
contains "out is the outer's" "-multi" "$out"
equal "references of dev" "$(printf '%s\n' "$dev" "$out" | sort)" "$(references "$dev")"

step "structured attributes, which leave the outputs in a file"
outer structured "__structuredAttrs = true; outputs = [ \"out\" \"dev\" ];
  args = [ \"-euc\" ''export PATH=$AIRLOCK_NIX/bin:$AIRLOCK_SHELL/bin multi=\${./multi-inner.nix} shell=\${builtins.storePath \"$AIRLOCK_SHELL\"}
    . \${./structured.sh}'' ];" <<'SCRIPT'
[ -z "${out-}" ] || die "there is a variable for the output"
exec /nix/var/airlock/bin/airlock return $(nix-instantiate $multi --argstr shell $shell --argstr name structured)
SCRIPT
out=$(build structured)
dev=$(build structured -A dev)
equal "out names itself" "$out" "$(cat "$out")"
equal "dev names both" "$dev $out" "$(cat "$dev/me" "$dev/out" | tr '\n' ' ' | sed 's/ $//')"
equal "references of dev" "$(printf '%s\n' "$dev" "$out" | sort)" "$(references "$dev")"

step "a continuation that refers to itself under another name is refused, and one that does not is not"
outer renamed <<'SCRIPT'
exec /nix/var/airlock/bin/airlock return $(instantiate other 'mkdir $out; echo $out >$out/me')
SCRIPT
refuses "another name" build renamed
contains "why" "/me refers to an output of its own derivation" "$output"
contains "what to do" "give both derivations the same name" "$output"
outer other-name <<'SCRIPT'
exec /nix/var/airlock/bin/airlock return $(instantiate other 'echo nothing of itself >$out')
SCRIPT
equal "without a reference to itself" "nothing of itself" "$(cat "$(build other-name)")"

step "nothing half-written is left"
outer half <<'SCRIPT'
drv=$(instantiate other 'mkdir $out; echo 1 >$out/a; echo $out >$out/me')
if /nix/var/airlock/bin/airlock return $drv 2>reason; then die "it was returned"; fi
[ ! -e $out ] || die "something is left in $out"
cat reason >$out
SCRIPT
contains "one sentence" "airlock return: /nix/store/" "$(cat "$(build half)")"
equal "lines" 1 "$(wc -l <"$(build half)")"

step "what fails: the continuation, an output that it lacks, a hidden derivation, bad usage"
outer failing <<'SCRIPT'
exec /nix/var/airlock/bin/airlock return $(instantiate failing 'echo no luck today; exit 3')
SCRIPT
refuses "a failing continuation" build failing
contains "its log" "no luck today" "$output"
outer two-failing <<'SCRIPT'
drv=$(nix-instantiate -E "let fail = name: more: derivation { inherit name more; system = builtins.currentSystem;
  builder = builtins.storePath \"$shell\" + \"/bin/sh\"; args = [ \"-c\" \"exit 3\" ]; }; in fail \"top\" [ (fail \"one\" 1) (fail \"two\" 2) ]")
if /nix/var/airlock/bin/airlock return $drv 2>reason; then die "it was returned"; fi
cat reason >$out
SCRIPT
said=$(cat "$(build two-failing)")
equal "lines, of two that failed" 1 "$(wc -l <<<"$said")"
contains "which is missing" "-top.drv was not built, so there is nothing to return: builder for" "$said"
outer lacking 'outputs = [ "out" "doc" ];' <<'SCRIPT'
exec /nix/var/airlock/bin/airlock return $(instantiate lacking 'echo >$out')
SCRIPT
refuses "an output that the continuation lacks" build lacking
contains "which" "the output 'doc'" "$output"
hidden=$(nix-instantiate "$tests/inner.nix" --argstr shell "$AIRLOCK_SHELL" --argstr name hidden --argstr script 'echo >$out' 2>/dev/null)
outer hiding "hidden = builtins.unsafeDiscardStringContext \"$hidden\";" <<'SCRIPT'
exec /nix/var/airlock/bin/airlock return $hidden
SCRIPT
refuses "a hidden derivation" build hiding
outer usage <<'SCRIPT'
set -- $shell/bin/sh
for words in "" "return" "return a b" "turn a"; do
  status=0
  /nix/var/airlock/bin/airlock $words 2>said || status=$?
  [ $status = 2 ] || die "airlock $words: status $status"
  grep -q '^usage: ' said || die "airlock $words: $(cat said)"
done
if /nix/var/airlock/bin/airlock return $shell 2>>$out; then die "a path that is no derivation was returned"; fi
if /nix/var/airlock/bin/airlock return relative.drv 2>>$out; then die "no path was returned"; fi
SCRIPT
said=$(cat "$(build usage)")
contains "no derivation" "is not a derivation: give the path of one" "$said"
contains "no path" "relative.drv is not a derivation: give the path of one" "$said"
equal "lines" 2 "$(wc -l <<<"$said")"

step "returning.nix"
cat >made.nix <<NIX
import $nix_files/returning.nix {
  name = "made"; nix = builtins.storePath "$AIRLOCK_NIX"; shell = "\${builtins.storePath "$AIRLOCK_SHELL"}/bin/sh";
  outputs = [ "out" "dev" ]; file = ./multi-inner.nix; args.shell = "$AIRLOCK_SHELL";
  inputs = [ (builtins.storePath "$AIRLOCK_SHELL") ];
}
NIX
dev=$(build made -A dev)
equal "its dev output names its out" "$(build made)" "$(cat "$dev/out")"
store_is_clean
settled

step "static mode has the programs too"
static_mode
outer static <<'SCRIPT'
export PATH=/nix/var/airlock/bin:$PATH
drv=$(nix-instantiate -E "derivation { name = \"static\"; system = builtins.currentSystem; builder = \"$shell/bin/sh\";
  args = [ \"-euc\" ''echo \$out >\$out'' ]; shell = builtins.storePath \"$shell\"; }")
exec airlock return $drv
SCRIPT
out=$(build static)
equal "what was returned" "$out" "$(cat "$out")"
equal "evaluations, with that of returning.nix" 2 "$(query "select count(*) from sessions where derivation like '%-evaluation.drv'")"

step "without the program airlock-fs does not start"
mkdir run
refuses "a missing program" airlock-fs --guest /nowhere --run "$work/run"
contains "which option" "open the program for sandboxes, /nowhere" "$output"
contains "which option" "--guest says where it is" "$output"
