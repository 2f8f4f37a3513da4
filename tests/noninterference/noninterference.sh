#!/usr/bin/env bash
# Non-interference: the same client at two hosts that agree on its closure and differ in everything else gets the same
# bytes. noninterference.sh DRIVER OPERATIONS NIX_OF_A NIX_OF_B. Runs outside of the environments that it compares.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
driver=$1 operations=$2
declare -A nix=([a]=$3 [b]=$4) running=()
work=$(mktemp -d)
chmod 0755 "$work"
# shellcheck disable=SC2317  # called by the trap
finish() {
  local name
  for name in "${!running[@]}"; do kill -TERM "${running[$name]}" 2>/dev/null || true; done
  wait || true
  rm -rf -- "$work"
}
trap finish EXIT
trap 'exit 143' TERM INT HUP

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  tail -n 20 "$work"/*/environment.log >&2 || true
  exit 1
}

cat >"$work/airlock.toml" <<'TOML'
[limits]
nar-bytes = 65536
derivation-bytes = 32768
TOML
for name in a b; do
  mkdir "$work/$name"
  mkfifo "$work/$name/control" "$work/$name/answer"
done
# One after the other up to where they run: on a first run both would fill the same cache.
for name in a b; do
  "$here/../../scripts/with-airlock" --nix "${nix[$name]}" --no-airlock --config "$work/airlock.toml" -- \
    "$here/host.sh" "$name" "$work" >"$work/$name/environment.log" 2>&1 </dev/null &
  running[$name]=$!
done
for name in a b; do
  exec {answer}<>"$work/$name/answer"
  read -r -t 120 line <&"$answer" || fail "host $name was not ready"
  [ "$line" = ready ] || fail "host $name said $line"
done

cmp "$work/a/agreed" "$work/b/agreed" || fail "the hosts do not agree on the closure"
cmp "$work/a/closure" "$work/b/closure" || fail "the hosts do not agree on the roots"
cat "$work/a/closure" <(sort -u "$work/a/hidden" "$work/b/hidden") >"$work/paths"
echo "closure: $(wc -l <"$work/a/agreed") roots; hidden: $(wc -l <"$work/a/hidden") paths on a (${nix[a]}), $(wc -l <"$work/b/hidden") on b (${nix[b]})"

"$driver" "$work" "$operations"
