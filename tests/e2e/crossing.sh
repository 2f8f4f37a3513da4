#!/usr/bin/env bash
# Clients and daemons of different versions: the inner client of each Nix version, in builds of the other version's daemon.
# Runs outside of the environments that it starts: crossing.sh; inside, with a role, crossing.sh export|build.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
with_airlock=$here/../../scripts/with-airlock

# export FOLDER: this environment's Nix, as it lies in the store.
if [ "${1-}" = export ]; then
  cp -a -- "$AIRLOCK_NIX" "$2/"
  basename -- "$AIRLOCK_NIX" >"$2/name"
  nix --version >"$2/version"
  exit 0
fi

# build FOLDER: a recursive build whose client is the Nix in FOLDER.
if [ "${1-}" = build ]; then
  folder=$2
  . "$here/lib.sh"
  other=/nix/store/$(cat "$folder/name")
  step "daemon $(nix --version), client $(cat "$folder/version")"
  if [ ! -e "$other" ]; then
    cp -a -- "$folder/$(cat "$folder/name")" /nix/store/
    printf '%s\n' "$other" '' 1 "$other" | NIX_REMOTE='' nix-store --register-validity
  fi
  mkdir -p "$state/gcroots/test"
  ln -sfn "$other" "$state/gcroots/test/other"
  outer crossed "nix = builtins.storePath $other;
    PATH = \"\${builtins.storePath $other}/bin:\${builtins.storePath $AIRLOCK_SHELL}/bin\";" <<'SCRIPT'
nix --version >&2
nixc() { nix --extra-experimental-features nix-command "$@"; }
result=$(inner crossed-inner 'echo building-inside; echo inside >$out')
[ "$(cat $result)" = inside ] || die "the result reads $(cat $result)"
realised=$(nix-store -r $(instantiate crossed-realised 'mkdir $out; echo realised >$out/file'))
[ "$(cat $realised/file)" = realised ] || die "the realised result"
echo added >file
added=$(nix-store --add file)
mkdir -p tree/sub; echo deep >tree/sub/file
tree=$(nix-store --add-fixed --recursive sha256 tree)
[ "$(cat $tree/sub/file)" = deep ] || die "the tree"
nix-store -q --references $result >/dev/null
nix-store -qR $result | grep -q $result || die "-qR"
nixc path-info --json $added >/dev/null
nixc copy --to file://$PWD/cache $added
nixc copy --no-check-sigs --from file://$PWD/cache $added
if inner crossed-fails 'exit 3' 2>said; then die "a failure succeeded"; fi
nix-store --dump $added | sha256sum >dumped
printf '%s\n' $result $realised $added $tree >$out
SCRIPT
  out=$(build crossed)
  equal "the client" "$(cat "$folder/version")" "$(grep -m 1 '^nix (Nix)' crossed.log)"
  contains "the log of the inner build" building-inside "$(cat crossed.log)"
  equal "references" "$(sort "$out" | tr '\n' ' ')" "$(references "$out" | tr '\n' ' ')"
  store_is_clean
  exit 0
fi

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
versions='debian12 debian13'
for version in $versions; do
  mkdir "$version"
  "$with_airlock" --nix "$version" -- "$here/crossing.sh" export "$work/$version"
done
for daemon in $versions; do
  for client in $versions; do
    "$with_airlock" --nix "$daemon" -- "$here/crossing.sh" build "$work/$client"
  done
done
