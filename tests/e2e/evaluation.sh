#!/usr/bin/env bash
# An evaluation is done once, whoever asks for it; what changes it changes it; what is not closed runs as it is.
# shellcheck disable=SC2016  # scripts and expressions in quotes are for the sandbox to expand
. "$(dirname "$0")/lib.sh"
nix_files=$(cd -- "$tests/../../scripts/nix" && pwd -P)

mkdir tree
cat >tree/default.nix <<'NIX'
{ shell, label ? "a", count ? 3 }:
let
  path = builtins.storePath shell;
  one = n: derivation {
    name = "${label}-${toString n}"; system = builtins.currentSystem; builder = "${path}/bin/sh"; PATH = "${path}/bin";
    outputs = [ "out" "dev" ]; args = [ "-euc" "echo ${label} ${toString n} >$out; echo dev >$dev" ];
  };
in builtins.trace "EVALUATED ${label}" { first = one 1; dev = (one 1).dev; all = builtins.genList one count; }
NIX
tree=$(nix-store --add tree)
export tree

# asks NAME COMMANDS: a build whose commands run with airlock's programs first on PATH.
asks() {
  outer "$1" "tree = builtins.storePath \"$tree\"; ${3-}" <<SCRIPT
export PATH=/nix/var/airlock/bin:\$PATH
$2
SCRIPT
}
results() { find /nix/store -maxdepth 1 -name '*-evaluation' | wc -l; }
evaluations() { query "select count(*) from sessions where derivation like '%-evaluation.drv'"; }

step "the same call in two builds is evaluated once"
asks one 'nix-instantiate $tree --argstr shell $shell -A all >$out'
asks two 'nix-instantiate --argstr shell $shell $tree --attr all >$out'
one=$(build one)
equal "derivations" 3 "$(wc -l <"$one")"
contains "the trace is in the build's log" "EVALUATED a" "$(cat one.log)"
equal "evaluations" 1 "$(evaluations)"
two=$(build two)
lacks "no second trace" "EVALUATED" "$(cat two.log)"
equal "evaluations" 1 "$(evaluations)"
equal "the derivations" "$(cat "$one")" "$(cat "$two")"
equal "as Nix itself names them" "$(nix-instantiate "$tree" --argstr shell "$AIRLOCK_SHELL" -A all 2>/dev/null)" "$(cat "$one")"
equal "all are references" 3 "$(references "$two" | grep -c '\.drv$')"

step "instantiate.nix makes the same from outside"
cat >outside.nix <<NIX
import $nix_files/instantiate.nix {
  nix = builtins.storePath "$AIRLOCK_NIX"; file = builtins.storePath "$tree"; attrs = [ "all" ];
  args.shell = builtins.storePath "$AIRLOCK_SHELL";
}
NIX
outside=$(build outside)
equal "evaluations" 1 "$(evaluations)"
equal "its output" "$(cat "$one")" "$(cat "$outside")"

step "another expression, argument or search path is another evaluation"
asks argument 'nix-instantiate $tree --argstr shell $shell -A all --argstr label b >$out'
asks number 'nix-instantiate $tree --argstr shell $shell -A all --arg count 2 >$out'
asks text 'nix-instantiate -E "import $tree" --argstr shell $shell -A first >$out'
asks path 'nix-instantiate "<mine>" --argstr shell $shell -A first >$out' "airlockNixPath = [ \"mine=$tree\" ];"
asks variable 'NIX_PATH=mine=$tree nix-instantiate "<mine>" --argstr shell $shell -A first >$out'
asks input 'echo "{ shell }: import <mine> { inherit shell; }" | nix-instantiate - -I mine=$tree --argstr shell $shell -A first >$out'
asks loose 'echo "{ shell }: import <mine> { inherit shell; }" >file.nix; nix-instantiate file.nix -I mine=$tree --argstr shell $shell -A first >$out'
before=1
for name in argument number text path variable input loose; do
  out=$(build "$name")
  before=$((before + 1))
  equal "evaluations after '$name'" $before "$(evaluations)"
  contains "$name" .drv "$(cat "$out")"
done

step "nix-build links and prints; outputs keep their names"
asks builds 'nix-build $tree --argstr shell $shell -A first -A dev >printed
  { cat printed; readlink result; readlink result-2-dev || readlink result-dev; } >$out
  cat result >>$out; cat $(nix-build --no-out-link $tree --argstr shell $shell -A first) >>$out
  nix-instantiate $tree --argstr shell $shell -A dev --add-root link --indirect >>$out; readlink link >>$out'
out=$(build builds)
cat "$out"
equal "printed and linked" "$(sed -n 1,2p "$out")" "$(sed -n 3,4p "$out")"
equal "built" "a 1 a 1" "$(sed -n 5,6p "$out" | tr '\n' ' ' | sed 's/ $//')"
contains "the root's name" "/link!dev" "$(sed -n 7p "$out")"
contains "the root" ".drv" "$(sed -n 8p "$out")"

step "a failing evaluation: what Nix itself says, and its status; nothing kept"
cat >fails.sh <<'SCRIPT'
fails() {
  plain=0 ours=0
  nix-instantiate "$@" >plain.out 2>plain.said || plain=$?
  PATH=/nix/var/airlock/bin:$PATH nix-instantiate "$@" >ours.out 2>ours.said || ours=$?
  [ $plain = $ours ] || die "status: $plain, and $ours"
  cat plain.out plain.said >plain
  cat ours.out ours.said >ours
  diff plain ours >&2 || die "it says something else: $*"
  cat ours >>$out
}
SCRIPT
outer failing "fails = ./fails.sh; tree = builtins.storePath \"$tree\";" <<'SCRIPT'
. $fails
fails -E "builtins.trace \"before that\" (throw \"no such luck\")"
fails $tree --argstr shell $shell -A absent
SCRIPT
out=$(build failing)
contains "the message" "no such luck" "$(cat "$out")"
equal "the trace" 1 "$(grep -c "before that$" "$out")"
equal "evaluations, each with a result but these two" "$(evaluations)" "$(($(results) + 2))"

step "a call that is not closed runs as it is"
asks as-is 'cp -r $tree copy; chmod -R u+w copy; mkdir lib; mv copy/default.nix lib/; echo "import ./lib" >copy/default.nix; mv lib copy/
  nix-instantiate copy --argstr shell $shell -A first >$out
  nix-instantiate --eval -E "1 + 1" >>$out; echo "2 + 2" | nix-instantiate --eval - >>$out
  echo "import ./copy" | nix-instantiate - --argstr shell $shell -A first >>$out'
before=$(evaluations)
out=$(build as-is)
equal "evaluations" "$before" "$(evaluations)"
contains "the derivation" "-a-1.drv" "$(head -n 1 "$out")"
equal "evaluated" "2 4" "$(sed -n 2,3p "$out" | tr '\n' ' ' | sed 's/ $//')"
equal "from stdin" "$(sed -n 1p "$out")" "$(sed -n 4p "$out")"

step "a result that hangs on configuration is what the call itself would give, wherever the configuration is"
mkdir says
cat >says/default.nix <<'NIX'
let
  found = builtins.tryEval <mine>;
  file = builtins.getEnv "HOME" + "/.config/nixpkgs/config.nix";
in derivation {
  name = "says"; system = builtins.currentSystem; builder = "none";
  mine = if found.success then import found.value else "nothing";
  home = if builtins.pathExists file then import file else "nothing";
}
NIX
says=$(nix-store --add says)
# agrees WHAT [ARGUMENT]...: the same call by Nix and by airlock's program.
cat >agrees.sh <<'SCRIPT'
agrees() {
  what=$1
  shift
  plain=$(nix-instantiate $says "$@" 2>said) || die "$what: $(cat said)"
  ours=$(PATH=/nix/var/airlock/bin:$PATH nix-instantiate $says "$@" 2>said) || ours=$(cat said)
  if [ "$plain" != "$ours" ]; then
    echo "DIFFERS: $what: $ours" >&2
    touch differs
  fi
}
SCRIPT
outer configured "says = builtins.storePath \"$says\"; agrees = ./agrees.sh; airlockNixConfig = \"system = view-linux\";" <<'SCRIPT'
. $agrees
mkdir conf conf/nix home home/.config home/.config/nix home/.config/nixpkgs home/.nix-defexpr home/.nix-defexpr/channels
echo '"a file of the build"' >mine.nix
echo "system = conf-linux" >conf/nix/nix.conf
echo "nix-path = mine=$PWD/mine.nix" >conf/included
agrees "the view's nix.conf"
(NIX_CONF_DIR=$PWD/conf/nix agrees "another NIX_CONF_DIR")
(unset NIX_CONF_DIR; agrees "no NIX_CONF_DIR")
(airlockNixConfig="system = other-linux"; agrees "a variable that is called like the attribute")
(export NIX_CONFIG="nix-path = mine=$PWD/mine.nix"; agrees "a search path in NIX_CONFIG")
(export NIX_CONFIG="max-call-depth = 900
  nix-path = mine=mine.nix # relative"; agrees "a relative search path in NIX_CONFIG")
(export NIX_CONFIG="include $PWD/conf/included"; agrees "a file in NIX_CONFIG")
agrees "a search path as an option" --option nix-path mine=$PWD/mine.nix
agrees "a relative search path as an option" --option nix-path mine=mine.nix
(export XDG_CONFIG_HOME=$PWD/conf; agrees XDG_CONFIG_HOME)
(export XDG_CONFIG_DIRS=$PWD/nowhere:$PWD/conf; agrees XDG_CONFIG_DIRS)
(export NIX_USER_CONF_FILES=$PWD/conf/nix/nix.conf; agrees NIX_USER_CONF_FILES)
(cp conf/nix/nix.conf home/.config/nix/; export HOME=$PWD/home; agrees "nix.conf in HOME"; rm home/.config/nix/nix.conf)
(echo '"in HOME"' >home/.config/nixpkgs/config.nix; export HOME=$PWD/home; agrees "nixpkgs' configuration in HOME"
  rm -r home/.config/nixpkgs)
(cp mine.nix home/.nix-defexpr/channels/mine; export HOME=$PWD/home; agrees "channels in HOME")
[ ! -e differs ] || die "some evaluations differ"
nix-instantiate $says >$out
SCRIPT
before=$(results)
contains "the derivation" says.drv "$(cat "$(build configured)")"
equal "results of evaluations: the view's alone" $((before + 1)) "$(results)"
outer structured "__structuredAttrs = true; airlockNixConfig = { system = \"structured-linux\"; };
  airlockNixPath = [ \"mine=\${builtins.storePath $(nix-store --add "$(echo '"in the store"' >mine.nix; echo mine.nix)")}\" ];
  args = [ \"-euc\" ''export PATH=$AIRLOCK_NIX/bin:$AIRLOCK_SHELL/bin out=\${placeholder \"out\"} says=\${builtins.storePath \"$says\"}
    agrees=\${./agrees.sh}; . \${./structured.sh}'' ];" <<'SCRIPT'
. $agrees
agrees "structured attributes"
(export NIX_CONFIG="max-call-depth = 900"; agrees "NIX_CONFIG, beside structured attributes")
agrees "an option, beside structured attributes" --option max-call-depth 900
[ ! -e differs ] || die "some evaluations differ"
nix-instantiate $says >$out
SCRIPT
before=$(results)
contains "the derivation" says.drv "$(cat "$(build structured)")"
equal "results of evaluations: all three, for they name no file" $((before + 3)) "$(results)"

step "a variable that is called system says nothing about where an evaluation can be built"
outer own-system "says = builtins.storePath \"$says\";" <<'SCRIPT'
system=nowhere-linux
PATH=/nix/var/airlock/bin:$PATH nix-instantiate $says --option max-call-depth 901 >$out
SCRIPT
before=$(results)
contains "the derivation" says.drv "$(cat "$(build own-system)")"
equal "results of evaluations" $((before + 1)) "$(results)"

step "what the derivation's locks allow to be fetched is fetched within an evaluation, too"
mkdir source locks fetching
echo fetched >source/file
fetched=$(nix-store --add source)
echo "[{\"url\": \"https://localhost/source.tar.gz\", \"unpack\": true,
  \"hash\": \"sha256:$(nix-hash --type sha256 source)\"}]" >locks/own.json
cat >fetching/default.nix <<NIX
let
  source = builtins.fetchTarball {
    url = "https://localhost/source.tar.gz"; sha256 = "$(nix-hash --type sha256 --base32 source)";
  };
in derivation { name = "fetching"; system = "none"; builder = "none"; text = builtins.readFile "\${source}/file"; inherit source; }
NIX
fetching=$(nix-store --add fetching)
outer locked "fetching = builtins.storePath \"$fetching\"; airlockLocks = [ ./locks/own.json ];" <<'SCRIPT'
PATH=/nix/var/airlock/bin:$PATH nix-instantiate $fetching >$out
SCRIPT
outer locked-structured "__structuredAttrs = true; airlockLocks = [ \"\${./locks}/own.json\" ];
  args = [ \"-euc\" ''export PATH=$AIRLOCK_NIX/bin:$AIRLOCK_SHELL/bin out=\${placeholder \"out\"}
    fetching=\${builtins.storePath \"$fetching\"}; . \${./locked-structured.sh}'' ];" <locked.sh
for name in locked locked-structured; do
  before=$(results)
  drv=$(cat "$(build "$name")")
  contains "what '$name' fetched is an input" "$fetched" "$(references "$drv")"
  equal "results of evaluations" $((before + 1)) "$(results)"
done

step "instantiate.nix makes the same from outside, with settings and locks"
outer both-inside "fetching = builtins.storePath \"$fetching\"; airlockLocks = [ ./locks/own.json ];
  airlockNixConfig = \"show-trace = true\\nmax-call-depth = 902\";" <locked.sh
cat >both-outside.nix <<NIX
import $nix_files/instantiate.nix {
  nix = builtins.storePath "$AIRLOCK_NIX"; file = builtins.storePath "$fetching";
  settings = { max-call-depth = 902; show-trace = true; }; locks = [ ./locks/own.json ];
}
NIX
inside=$(build both-inside)
before=$(evaluations)
equal "its output" "$(cat "$inside")" "$(cat "$(build both-outside)")"
equal "evaluations" "$before" "$(evaluations)"

step "locked in a source of the derivation's alone: not in an evaluation that does not name it, and so by the call as it is"
mkdir -p pinning/npins
cat >pinning/npins/sources.json <<JSON
{"pins": {"source": {"type": "Git", "repository": {"type": "GitHub", "owner": "o", "repo": "r"}, "branch": "main",
  "revision": "$(printf '1%.0s' {1..40})", "url": "https://localhost/source.tar.gz",
  "hash": "$(nix-hash --type sha256 --base32 source)"}}, "version": 3}
JSON
outer pinned "fetching = builtins.storePath \"$fetching\"; src = ./pinning;" <<'SCRIPT'
PATH=/nix/var/airlock/bin:$PATH nix-instantiate $fetching --option download-attempts 1 >$out 2>said || die "$(cat said)"
if grep -F 'error:' said; then die "the evaluation that failed is shown"; fi
SCRIPT
before=$(results)
drv=$(cat "$(build pinned)")
contains "what it fetched is an input" "$fetched" "$(references "$drv")"
equal "results of evaluations" "$before" "$(results)"

step "a derivation that may fetch nothing does not, within an evaluation either"
outer closed "fetching = builtins.storePath \"$fetching\"; airlockLocks = [ ./locks/own.json ]; airlockFixedOutput = \"closed\";" <<'SCRIPT'
if nix-instantiate $fetching --option download-attempts 1 2>said; then die "it was fetched as it is"; fi
if PATH=/nix/var/airlock/bin:$PATH nix-instantiate $fetching --option download-attempts 1 2>said; then die "it was fetched in an evaluation"; fi
echo refused >$out
SCRIPT
equal "both" refused "$(cat "$(build closed)")"

step "garbage: what the evaluation lists lives as long as it does"
drvs=$(cat "$outside")
ln -s "$outside" "$state/gcroots/evaluation"
settled
nix-collect-garbage >gc.log 2>&1 || fail "$(cat gc.log)"
for drv in $drvs; do [ -e "$drv" ] || fail "$drv was collected"; done
rm "$state/gcroots/evaluation"
nix-collect-garbage >gc.log 2>&1 || fail "$(cat gc.log)"
for drv in $drvs; do [ ! -e "$drv" ] || fail "$drv is still there"; done
store_is_clean
