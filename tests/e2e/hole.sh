# shellcheck shell=bash
# The raw hole, for comparison: . "$(dirname "$0")/hole.sh" after lib.sh. It is what one has after the steps V1 to V3 of the
# experiment that airlock comes from: /nix/var in every sandbox, NIX_PATH passed by hand, a daemon that takes builders.
# In place of the patched daemon a process outside connects to the real one for them (tests/support/raw_relay.cpp).
: "${AIRLOCK_RAW_RELAY:?names the program raw-relay}" "${state:?is set by lib.sh}"
relays=()
close_holes() { [ ${#relays[@]} = 0 ] || kill "${relays[@]}"; }
trap close_holes EXIT

# open_hole NAME USER: from now on there is a socket /nix/var/hole/NAME/socket that leads to nix-daemon, as that user.
open_hole() {
  local folder=/nix/var/hole/$1
  mkdir -p "$folder"
  chown "$2" "$folder"
  setpriv --reuid "$2" --regid "$(id -g "$2")" --clear-groups "$AIRLOCK_RAW_RELAY" "$folder/socket" "$state/daemon-socket/socket" &
  relays+=($!)
  eventually "the relay listens" 10 test -S "$folder/socket"
}

# hole_build NAME [OPTION]...: builds NAME.nix with /nix/var in its sandbox; like build.
hole_build() {
  local name=$1
  shift
  nix-build --no-out-link --option extra-sandbox-paths /nix/var "$name.nix" "$@" 2>"$name.log" || {
    cat "$name.log" >&2
    return 1
  }
}
