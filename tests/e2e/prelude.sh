# In front of every script that runs inside a sandbox with airlock.
. /nix/var/airlock/env
inner() {
  nix-build "$innerNix" --no-out-link --argstr shell "$shell" --argstr name "$1" --argstr script "$2" --argstr dependency "${3:-}"
}
instantiate() {
  nix-instantiate "$innerNix" --argstr shell "$shell" --argstr name "$1" --argstr script "$2"
}
die() {
  echo "INSIDE: $*" >&2
  exit 1
}
