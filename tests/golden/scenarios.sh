#!/usr/bin/env bash
# Runs inside scripts/with-airlock --no-airlock: records real clients of this Nix against its real daemon into the
# folder $1, one scenario a command. See scripts/record-golden.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
golden=$1
daemon=/nix/var/nix/daemon-socket/socket
work=$(mktemp -d)
cd -- "$work"
export NIX_CONFIG='experimental-features = nix-command
substituters =
log-lines = 0'
remote="ssh-ng://localhost?remote-program=$work/nix-daemon"
printf '#!/bin/sh\nexec python3 %s --stdio "$@"\n' "$here/relay.py" >nix-daemon
chmod +x nix-daemon

# record NAME COMMAND...: what COMMAND prints goes to the file `printed`.
record() {
  local name=$1
  shift
  printf '%s: %s\n' "$name" "$*" >&2
  python3 "$here/relay.py" "$daemon" "$golden/$name" "$@" >printed
}

cat >golden.nix <<'NIX'
{ name ? "golden", fails ? false }:
let shell = builtins.storePath (builtins.getEnv "AIRLOCK_SHELL"); in
derivation {
  inherit name;
  system = "x86_64-linux";
  builder = "${shell}/bin/sh";
  args = [ "-c" "echo building; ${if fails then "exit 3" else "echo ${shell} > $out"}" ];
}
NIX
printf 'hello\n' >plain
ln -s plain link
mkdir tree
printf '#!/bin/sh\n' >tree/run
chmod +x tree/run
ln -s run tree/link

record ping nix store ping
record add nix-store --add tree
tree=$(cat printed)
record add-flat nix-store --add-fixed sha256 plain
record instantiate nix-instantiate golden.nix
drv=$(readlink -f "$(cat printed)")
record dry-run nix-build --dry-run golden.nix
record build nix-build golden.nix
out=$(cat printed)
record build-results nix build -f golden.nix --argstr name golden-two --no-link
record build-fails sh -c '! nix-build golden.nix --argstr name golden-three --arg fails true'
record realise nix-store --realise "$tree" --add-root root --indirect
record references nix-store --query --references "$out"
record referrers nix-store --query --referrers "$AIRLOCK_SHELL"
record requisites nix-store --query --requisites "$out"
record deriver nix-store --query --deriver "$out"
record outputs nix-store --query --outputs "$drv"
record path-info nix path-info --json "$out"
record hidden sh -c '! nix-store --query --hash /nix/store/00000000000000000000000000000000-nothing'
record dump nix store dump-path --store "$remote" "$tree"
record verify nix-store --verify
record roots nix-store --gc --print-roots
record dead nix-store --gc --print-dead

nix-store --generate-binary-cache-key golden-1 secret public
record sign nix store sign --key-file secret "$tree"
nix copy --to "file://$work/cache" "$tree"
nix-store --export "$tree" >exported
rm root
record delete nix-store --delete "$tree"
record copy nix copy --no-check-sigs --from "file://$work/cache" "$tree"
nix-store --delete "$tree" >/dev/null
record import sh -c 'nix-store --import <exported'
record copy-log nix store copy-log --from "$NIX_REMOTE" --to "$remote" "$drv"

# What only other clients ask, and how old ones ask it. (2.26 has commands for the next two.)
export GOLDEN_OUT=$out
for minor in 21 25 34; do
  record "protocol-1.$minor" python3 "$here/ask.py" "$minor" "$tree" "$drv" "$AIRLOCK_SHELL"
done
if [ "$(nix --version)" != "nix (Nix) 2.8.0" ]; then
  record hash-part nix store path-from-hash-part "$(basename "$tree" | cut -c 1-32)"
  record perm-root nix build --extra-experimental-features mounted-ssh-store --store "mounted-$remote" "$tree" --out-link perm
fi
rm -rf -- "$work"
