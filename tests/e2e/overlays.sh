#!/usr/bin/env bash
# What an evaluation takes from the user's machine (search path, overlays, configuration, settings) is lost in a raw
# hole; a derivation that goes through airlock states it, and the evaluation inside sees it.
. "$(dirname "$0")/lib.sh"
. "$tests/hole.sh"
nixpkgs=$(airlock-env add-nixpkgs)
lib=$(cd -- "$tests/../../scripts/nix" && pwd -P)

mkdir overlays
echo 'self: super: { greeting = "first overlay"; word = "said"; }' >overlays/a.nix
echo 'self: super: { greeting = "${super.greeting}, then the second, as ${self.word}"; }' >overlays/b.nix
echo '{ allowUnfree = true; from = "a file"; }' >config.nix
ask='nix-instantiate --eval --strict -E "(import <nixpkgs> { }).greeting or \"no overlay\""'

step "a raw hole: the user has overlays, the build has none"
open_hole nobody nobody
outer raw "requiredSystemFeatures = [ ]; pkgs = builtins.storePath $nixpkgs;" <<SCRIPT
$ask >\$out
SCRIPT
# The prelude is airlock's; the hole has what the seed has.
{ echo 'export NIX_REMOTE=unix:///nix/var/hole/nobody/socket HOME=$TMPDIR NIX_PATH=nixpkgs=$pkgs'; tail -n 1 raw.sh; } >raw.new
mv raw.new raw.sh
export NIX_PATH=nixpkgs=$nixpkgs:nixpkgs-overlays=$PWD/overlays
equal "the user's own evaluation" '"first overlay, then the second, as said"' "$(eval "$ask")"
raw=$(hole_build raw)
equal "the evaluation in the raw hole" '"no overlay"' "$(cat "$raw")"
unset NIX_PATH

step "airlock: a folder of overlays by airlockNixPath, with NIX_PATH unset"
outer folder "airlockNixPath = [ \"nixpkgs=\${builtins.storePath $nixpkgs}\" \"nixpkgs-overlays=\${./overlays}\" ];" <<SCRIPT
[ -z "\${NIX_PATH-}" ] || die "NIX_PATH is \$NIX_PATH"
$ask >\$out
SCRIPT
equal "the evaluation inside" '"first overlay, then the second, as said"' "$(cat "$(build folder)")"

step "settings: the client inside has them, and acts on them"
show='nix show-config 2>/dev/null || nix config show'
conf='experimental-features = nix-command\n# a comment\nhttp-connections = 17\nrestrict-eval = true'
outer settings "airlockNixConfig = \"$conf\";" <<SCRIPT
{ $show; } >config
grep -E '^(http-connections|restrict-eval|substituters) = ' config >\$out
echo secret >file
if said=\$(nix-instantiate --eval -E "builtins.readFile \$PWD/file" 2>&1); then die "restrict-eval does nothing: \$said"; fi
case \$said in *restricted*) ;; *) die "it says: \$said" ;; esac
cat /nix/var/airlock/nix.conf >&2
[ ! -e /etc/nix ] || die "/etc/nix is there"
SCRIPT
equal "settings inside" "http-connections = 17 restrict-eval = true substituters = " \
  "$(tr '\n' ' ' <"$(build settings)" | sed 's/ $//')"
grep -A8 "From the derivation" settings.log

step "settings as a set, with structured attributes"
cat >structured.nix <<NIX
derivation {
  name = "structured";
  system = builtins.currentSystem;
  builder = "\${builtins.storePath "$AIRLOCK_SHELL"}/bin/sh";
  __structuredAttrs = true;
  requiredSystemFeatures = [ "airlock" ];
  airlockNixConfig = { http-connections = 18; restrict-eval = false; experimental-features = [ "nix-command" "flakes" ]; };
  args = [ "-euc" "export PATH=$AIRLOCK_SHELL/bin
    out=\$(grep -o '/nix/store/[a-z0-9]*-structured' /build/.attrs.json | head -n 1)
    grep -E '^(http-connections|restrict-eval|experimental-features) = ' /nix/var/airlock/nix.conf >\$out" ];
}
NIX
structured=$(build structured)
equal "lines" "experimental-features = nix-command flakes http-connections = 18 restrict-eval = false" \
  "$(tr '\n' ' ' <"$structured" | sed 's/ $//')"

step "on request at /etc/nix, for clients that nothing points to the view"
outer etc "airlockEtcNix = true; airlockNixConfig = \"http-connections = 19\nexperimental-features = nix-command\";" <<SCRIPT
unset NIX_CONF_DIR
{ $show; } | grep '^http-connections = ' >\$out
ls /etc/nix >&2
if touch /etc/nix/new 2>/dev/null; then die "/etc/nix can be written"; fi
inner etc-inner 'echo inside >\$out' >&2
SCRIPT
equal "without NIX_CONF_DIR" "http-connections = 19" "$(cat "$(build etc)")"

step "bad input: one sentence each, and nothing is granted"
echo other >other
other=$(nix-store --add other)
# bad WHAT ATTRIBUTES SENTENCE
bad() {
  outer bad "$2" <<<'echo never >$out'
  refuses "$1" build bad
  contains "$1" "$3" "$output"
  printf '    %s\n' "$(grep -o 'airlock[^ ]*: .*' <<<"$output" | head -n 1)"
}
bad "an entry outside the closure" "airlockNixPath = [ \"nixpkgs=$other\" ];" "not in the closure"
bad "an entry without a name" "airlockNixPath = [ \"\${./other}\" ];" "not of the form name=store path"
bad "an entry with a bad name" "airlockNixPath = [ \"a/b=\${./other}\" ];" "not a name that the search path can have"
bad "an entry that is no store path" 'airlockNixPath = [ "nixpkgs=/etc" ];' "airlockNixPath: 'nixpkgs=/etc'"
bad "two entries of one name" "airlockNixPath = [ \"a=\${./other}\" \"a=\${./config.nix}\" ];" "'a' is there twice"
bad "a bad setting" 'airlockNixConfig = "Cores = 3";' "'Cores' is not the name of a setting"
bad "a setting twice" 'airlockNixConfig = "cores = 3\ncores = 4";' "'cores' is set twice"
bad "a setting of the airlock's" 'airlockNixConfig = "store = /tmp/x";' "'store' is the airlock's to set"
bad "an include" 'airlockNixConfig = "include /etc/passwd";' "write the settings themselves"
sessions=$(query "select count(*) from sessions where derivation like '%-bad.drv'")
equal "sessions of refused derivations" 0 "$sessions"

step "refused inside: an ordinary failure for the build outside, and what was asked for beside it is built"
outer above "known = ./other;" <<'SCRIPT'
cat >pair.nix <<'NIX'
{ shell }: let
  path = builtins.storePath shell;
  make = name: more: derivation ({ inherit name; system = builtins.currentSystem; builder = "${path}/bin/sh";
    args = [ "-c" "echo ${name} >$out" ]; } // more);
in rec {
  malformed = make "malformed" { requiredSystemFeatures = [ "airlock" ]; airlockNixPath = [ "nonsense" ]; };
  needs = make "needs" { inherit malformed; };
  beside = make "beside" { };
}
NIX
if nix-build pair.nix --no-out-link --argstr shell $shell --keep-going >built 2>said; then die "it was not refused"; fi
cat said >&2
grep -q "airlockNixPath: 'nonsense' is not of the form" said || die "the reason is missing"
nix-build pair.nix -A beside --no-out-link --argstr shell $shell >beside
[ "$(cat $(cat beside))" = beside ] || die "what was beside it"
cat beside >$out
SCRIPT
above=$(build above)
equal "its references" "$(cat "$above")" "$(references "$above")"
equal "condemned sessions" 0 "$(query "select count(*) from sessions where note like 'condemned: %'")"

step "lib.nix's recursive says all of it"
cat >set.nix <<'NIX'
with import <nixpkgs> { };
runCommand "inner" { inherit (config) allowUnfree text; inherit greeting; } ''
  echo "$greeting $allowUnfree $text" >$out
''
NIX
cat >use.nix <<NIX
{ arguments ? { } }:
(import $lib/lib.nix).recursive ({
  name = "recursed";
  nix = builtins.storePath "$AIRLOCK_NIX";
  shell = builtins.storePath "$AIRLOCK_SHELL";
  nixpkgs = builtins.storePath "$nixpkgs";
  overlays = [ ./overlays/a.nix ./overlays/b.nix ];
  config = { allowUnfree = true; text = "a\\\${b}\\"c"; };
  settings = { http-connections = 20; experimental-features = [ "nix-command" ]; };
  script = ''
    ln -s \$(nix-build --no-out-link \${./set.nix}) \$out
    grep '^http-connections' /nix/var/airlock/nix.conf >&2
  '';
} // arguments)
NIX
recursed=$(nix-build --no-out-link use.nix 2>use.log) || fail "$(cat use.log)"
equal "built inside" 'first overlay, then the second, as said 1 a${b}"c' "$(cat "$recursed")"
contains "its log" "http-connections = 20" "$(cat use.log)"
equal "references" "$(readlink "$recursed")" "$(references "$recursed")"

step "lib.nix: what mkDerivation takes is where it belongs, with structured attributes and without"
mkdir -p tool/bin
printf '#!%s\necho "the tool"\n' "$AIRLOCK_SHELL/bin/sh" >tool/bin/tool
chmod +x tool/bin/tool
echo '[]' >locks.json
ln -s "$nixpkgs" nixpkgs-link
mkdir more-locks
echo '[]' >more-locks/more.json
cat >more.nix <<'NIX'
{ structured ? false }:
import ./use.nix { arguments = {
  nixpkgs = ./nixpkgs-link;
  system = null;
  locks = [ ./locks.json ];
  outputs = [ "out" "dev" ];
  buildInputs = [ ./tool null ];
  nativeBuildInputs = [ { outPath = "/nowhere"; bin = ./tool; } ];
  env = { GREETING = "it's $HOME, \"quoted\""; YES = true; NO = false; NUMBER = 3; };
  passthru = { answer = 42; };
  meta = { description = "more"; };
  settings = { http-connections = 20; system-features = [ "a" "b" ]; };
  attributes = {
    __structuredAttrs = structured;
    words = [ "a" "b" ]; yes = true; no = false; nothing = null;
    passAsFile = [ "long" ]; long = "a long text";
    PATH = "/somewhere";
    requiredSystemFeatures = [ ];
    airlockNixPath = [ "mine=${./other}" ];
    airlockNixConfig = if structured then { connect-timeout = 7; } else "connect-timeout = 7";
    airlockLocks = [ "${./more-locks}/more.json" ];
    preferLocalBuild = true;
  };
  script = ''
    {
      echo "$GREETING|$YES|$NO|$NUMBER"
      tool
      case $PATH in *:/somewhere) echo "PATH goes on" ;; esac
      grep -E '^(http-connections|connect-timeout|system-features)' /nix/var/airlock/nix.conf
      nix-instantiate --eval -E '(import <nixpkgs> { }).greeting'
      nix-instantiate --eval -E 'builtins.readFile <mine>'
      echo "$outputs"
    } >$out
    if [ -e "''${NIX_ATTRS_JSON_FILE-}" ]; then
      cat "$NIX_ATTRS_JSON_FILE"
    else
      echo "$words|$yes|$no|$nothing|$(cat $longPath)|$airlockLocks"
    fi >$dev
  '';
}; }
NIX
expected="it's \$HOME, \"quoted\"|1||3
the tool
PATH goes on
http-connections = 20
system-features = a b
connect-timeout = 7
\"first overlay, then the second, as said\"
\"other\\n\"
out dev"
for structured in false true; do
  out=$(nix-build --no-out-link more.nix --arg structured $structured 2>more.log) || fail "$(cat more.log)"
  equal "what it sees, structured: $structured" "$(sort <<<"$expected")" "$(sort "$out")"
  dev=$(nix-build --no-out-link more.nix --arg structured $structured -A dev 2>more.log) || fail "$(cat more.log)"
  case $structured in
    false)
      contains "attributes" "a b|1|||a long text|" "$(cat "$dev")"
      contains "locks" "more-locks/more.json" "$(cat "$dev")"
      contains "locks" "-locks.json" "$(cat "$dev")"
      ;;
    true)
      equal "attributes" "$(printf '%s\n' '["a","b"]' true false null 2)" \
        "$(python3 -c 'import json, sys
a = json.load(open(sys.argv[1]))
for each in a["words"], a["yes"], a["no"], a["nothing"], len(a["airlockLocks"]): print(json.dumps(each, separators=(",", ":")))' "$dev")"
      ;;
  esac
  equal "passthru and meta" '[42,42,"more",42]' "$(nix-instantiate --eval --strict --json -E "
    let it = import ./more.nix { structured = $structured; };
    in [ it.answer it.dev.answer it.out.meta.description it.passthru.answer ]")"
done

step "lib.nix: the configuration by file; an argument that is wrong is one sentence"
recursed=$(nix-build --no-out-link use.nix --arg arguments '{ config = ./config.nix; script = "nix-instantiate --eval --strict -E \"(import <nixpkgs> { }).config.from\" >$out"; }' 2>use.log) ||
  fail "$(cat use.log)"
equal "the configuration" '"a file"' "$(cat "$recursed")"
# wrong ARGUMENTS SENTENCE
wrong() {
  refuses "$1" nix-instantiate use.nix --arg arguments "$1"
  contains "$1" "$2" "$output"
  printf '    %s\n' "$(grep -o "airlock's recursive: .*" <<<"$output" | head -n 1)"
}
wrong '{ overlays = [ (self: super: { }) ]; }' "overlays[0] is a function, which cannot be handed"
wrong '{ config = { allow = x: true; }; }' "'config' holds a function"
wrong '{ nixpkgs = "/somewhere"; }' "nixpkgs is the string '/somewhere'"
wrong '{ nixpkgs = "a\nb"; }' "nixpkgs is the string 'a', which is no store path"
wrong '{ script = 3; }' "'script' is of type int, and has to be a string"
wrong '{ surprise = 1; }' "there is no argument 'surprise' (other attributes of the derivation go into 'attributes')"
wrong '{ attributes.script = "x"; }' "attributes.script is an argument of its own"
wrong '{ attributes.args = [ ]; }' "attributes.args would replace what runs 'script'"
wrong '{ attributes.some = { }; }' "attributes.some is a set, which only structured attributes hold"
wrong '{ attributes.airlockLocks = "x"; }' "attributes.airlockLocks is of type string, and has to be a list"
wrong '{ attributes.NIXPKGS_CONFIG = "x"; }' "the variable 'NIXPKGS_CONFIG' is there twice"
wrong '{ env = { A = 1; }; attributes.A = 2; }' "the variable 'A' is there twice"
wrong '{ env.A = [ ]; }' "env.A is of type list"
wrong '{ env."a b" = ""; __structuredAttrs = true; }' "env.a b is no name"
wrong '{ meta = { }; attributes.meta = { }; }' "'meta' is there twice"
wrong '{ buildInputs = [ "gcc" ]; }' "buildInputs[0] is the string 'gcc', which is no store path"
wrong '{ outputs = "out"; }' "'outputs' is of type string, and has to be a list of names"
wrong '{ settings = { a = { }; }; }' "settings.a is of type set"
refuses "a missing argument" nix-instantiate --eval -E "((import $lib/lib.nix).recursive { name = \"x\"; script = \"\"; }).drvPath"
contains "a missing argument" "'nix' is missing" "$output"

step "static mode has no hook that could mount /etc/nix, and says so"
static_mode
outer static "airlockEtcNix = true;" <<'SCRIPT'
sleep 20
echo never >$out
SCRIPT
refuses "/etc/nix in static mode" build static
contains "/etc/nix in static mode" "airlockEtcNix needs the pre-build hook" "$output"
settled
store_is_clean
