#!/usr/bin/env bash
# One of the two hosts, inside its environment: host.sh a|b FOLDER. Both have the same closure; host b has a past besides.
# Then it keeps two mediators running for the driver: host.sock, through which the driver acts as the host's own, and
# strict.sock, through which it is a sandbox. A line on control ends the sandbox's and starts a fresh one; the answer is how
# the old one ended.
set -euo pipefail
name=$1 folder=$2/$1
cd -- "$HOME"
state=/nix/var/nix

echo 'a source' >source
mkdir tree
echo 'in a tree' >tree/file
ln -s file tree/link
source=$(nix-store --add source)
tree=$(nix-store --add tree)
cat >derivations.nix <<NIX
let make = name: script: derivation {
  inherit name; system = builtins.currentSystem; builder = "\${builtins.storePath $AIRLOCK_SHELL}/bin/sh";
  PATH = "\${builtins.storePath $AIRLOCK_SHELL}/bin"; source = builtins.storePath $source; args = [ "-euc" script ];
}; in {
  base = make "base" "cat \$source > \$out";
  past = builtins.genList (n: make "past-\${toString n}" "mkdir \$out; ln -s \$source \$out/source; echo \${toString n} > \$out/n") 12;
}
NIX
base=$(nix-instantiate derivations.nix -A base)
roots=("$AIRLOCK_SHELL" "$source" "$tree" "$base")

hidden=()
hide() { hidden+=("$@"); }
text() { echo "$1" >"$1" && nix-store --add "$1"; }
if [ "$name" = a ]; then
  for n in 1 2 3; do hide "$(text "only-a-$n")"; done
else
  for n in 1 2 3 4 5 6; do hide "$(text "only-b-$n")"; done
  mapfile -t past < <(nix-instantiate derivations.nix -A past)
  mapfile -t made < <(nix-store --realise "${past[@]}" "$base" 2>/dev/null)
  hide "${past[@]}" "${made[@]}"
  for n in 1 2 3; do ln -s "${made[$n]}" "$state/gcroots/of-b-$n"; done
  # Another host came by the same closure in another way, at another time.
  sqlite3 "$state/db/db.sqlite" "update ValidPaths set registrationTime = registrationTime - 86400 * id,
    deriver = '/nix/store/$(printf 'z%.0s' {1..32})-elsewhere.drv', sigs = 'cache-1:$(printf 'A%.0s' {1..86})==', ultimate = 1
    where path in ($(printf "'%s'," "${roots[@]}")'')"
fi
for n in 1 2; do hide "$(text "both-$n")"; done

cat >>/etc/nix/nix.conf <<CONF
max-build-log-size = 100000
CONF
[ "$name" = a ] || printf '%s\n' 'max-jobs = 2' 'log-lines = 3' 'cores = 1' 'system-features = big-parallel kvm' \
  'keep-derivations = false' >>/etc/nix/nix.conf
airlock-env stop-nix-daemon
airlock-env start-nix-daemon

platform=$(nix-instantiate --eval --expr builtins.currentSystem | tr -d '"')
{
  echo "platform $platform"
  echo "shell $AIRLOCK_SHELL"
  echo "source $source"
  printf 'visible %s\n' "$tree" "$base"
} >"$folder/closure"
for path in "${roots[@]}"; do echo "$path $(nix-store -q --hash "$path") $(nix-store -q --references "$path" | tr '\n' ' ')"; done >"$folder/agreed"
printf 'hidden %s\n' "${hidden[@]}" >"$folder/hidden"

# proxy SOCKET OPTION...: as the user that airlockd is, so that nix-daemon does not trust it.
proxy() {
  local socket=$1
  shift
  rm -f "$folder/$socket.log"
  setpriv "${as[@]}" "$AIRLOCK_BIN/airlock" proxy --listen "$folder/$socket" --upstream "$state/daemon-socket/socket" \
    "$@" >"$folder/$socket.log" 2>&1 &
  proxy=$!
  until grep -q serving "$folder/$socket.log" 2>/dev/null; do
    kill -0 "$proxy" 2>/dev/null || { cat "$folder/$socket.log" >&2; exit 1; }
    sleep 0.01
  done
}
as=(--reuid root) # whom nix-daemon trusts
proxy host.sock --profile observe
as=(--reuid airlock --regid airlock --init-groups --no-new-privs --bounding-set=-all --inh-caps=-all)
chmod 1777 "$folder"
exec 3<>"$folder/control" 4<>"$folder/answer"
sandbox=()
for root in "${roots[@]}"; do sandbox+=(--root "$root"); done
proxy strict.sock --profile strict "${sandbox[@]}"
echo ready >&4
while read -r word <&3 && [ "$word" = next ]; do
  status=0
  kill -TERM "$proxy" 2>/dev/null || true
  wait "$proxy" || status=$?
  reason=$(grep -v serving "$folder/strict.sock.log" | head -n 1 | cut -c 1-400) || true
  proxy strict.sock --profile strict "${sandbox[@]}"
  echo "$status $reason" >&4
done
