#!/usr/bin/env bash
# A store path outside the closure does not exist for a build, by any way of asking.
. "$(dirname "$0")/lib.sh"

raw=$(nix-store --add "$AIRLOCK_RAW_CLIENT")
echo "secret of the host" >secret
hidden=$(nix-store --add secret)
echo "known to the build" >known
visible=$(nix-store --add known)
mkdir folder && echo "secret too" >folder/file
hidden_folder=$(nix-store --add folder)

# Hand-made derivations that name a path among their inputs, made by the host and passed as text.
forge() {
  cat >forge.nix <<NIX
derivation { name = "forged-$1"; system = builtins.currentSystem; builder = "\${builtins.storePath (builtins.getEnv "AIRLOCK_SHELL")}/bin/sh";
  args = [ "-c" "\${builtins.storePath (builtins.getEnv "AIRLOCK_SHELL")}/bin/cat \${builtins.storePath $2} >\$out" ]; }
NIX
  nix-instantiate forge.nix 2>/dev/null
}
mkdir texts
cp "$(forge hidden "$hidden")" texts/hidden
cp "$(forge visible "$visible")" texts/visible
nix-store --dump texts/hidden >texts/hidden.nar
outputs_of_forged=$(nix-store -q --outputs "$(forge hidden "$hidden")")

outer asks "texts = ./texts; raw = builtins.storePath $raw; known = builtins.storePath $visible;
  hidden = builtins.unsafeDiscardStringContext \"$hidden\"; hiddenFolder = builtins.unsafeDiscardStringContext \"$hidden_folder\";" <<'SCRIPT'
never() {
  what=$1
  shift
  if said=$("$@" 2>&1); then die "$what worked: $said"; fi
  case $said in *secret\ of*) die "$what showed the content: $said" ;; esac
  echo "refused: $what: $(echo "$said" | tail -n 1)" >&2
}
nixc() { nix --extra-experimental-features nix-command "$@"; }
never "path-info" nixc path-info $hidden
never "nix-store -r" nix-store -r $hidden
never "nix-store --dump" nix-store --dump $hidden
never "nix-store -q --hash" nix-store -q --hash $hidden
never "nix-store -q --references" nix-store -q --references $hidden
never "nix store dump-path" nixc store dump-path $hidden
never "nix-store --export" nix-store --export $hidden
never "reading it" cat $hidden
never "reading the folder" ls $hiddenFolder
never "reading the view" cat /nix/var/airlock/store/${hidden##*/}
never "reading the folder in the view" cat /nix/var/airlock/store/${hiddenFolder##*/}/file
never "a way out of the view" cat /nix/var/airlock/store/${known##*/}/../${hidden##*/}
never "builtins.storePath" nix-instantiate --eval --read-write-mode -E "builtins.storePath $hidden"
never "listing links" nix-store --gc --print-roots
never "NarFromPath" $raw question 38 $hidden
for op in 5 6 10 18; do never "operation $op" $raw question $op $hidden; done
[ "$($raw question 1 $hidden)" = "answered 0" ] || die "IsValidPath told"
[ "$($raw question 26 $hidden)" = "answered 0" ] || die "QueryPathInfo told"
for path in $(nixc path-info --all); do
  case $path in $hidden | $hiddenFolder) die "--all lists $path" ;; esac
done
# What is visible is there, also in the view.
[ "$(cat $known)" = "known to the build" ] || die "known"
[ "$(cat /nix/var/airlock/store/${known##*/})" = "known to the build" ] || die "known in the view"
[ ! -e /nix/var/airlock/store/${hidden##*/} ] || die "hidden is in the view"
ls /nix/var/airlock/store | grep -q ${known##*/} || die "the view does not list what is visible"

never "a derivation that names it, honestly" $raw add forged-hidden.drv text:sha256 $texts/hidden $hidden $shell
never "a derivation that names it, references left out" $raw add forged-hidden.drv text:sha256 $texts/hidden $shell
never "a derivation that names it, as an archive" $raw add forged-hidden.drv fixed:r:sha256 $texts/hidden.nar
drv=$($raw add forged-visible.drv text:sha256 $texts/visible $known $shell) || die "the honest derivation: $drv"
$raw build $drv >&2 || die "the honest derivation does not build"
cat $(nix-store -q --outputs $drv) >$out
SCRIPT
out=$(build asks)
grep refused: asks.log
equal "the honest derivation's output" "known to the build" "$(cat "$out")"
[ ! -e "$outputs_of_forged" ] || fail "the forged derivation was built"
lacks "build log" "secret of the host" "$(cat asks.log)"
query "select operation, verdict, rule, reason from operations where verdict = 'deny'"
