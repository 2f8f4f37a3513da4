# shellcheck shell=bash
# What every script here uses: where things are, and how to speak to the user.

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache=${AIRLOCK_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/airlock}
build=${AIRLOCK_BUILD:-$checkout/build/release}
environment=/run/airlock-env # the embedded environment's own folder, inside it
system_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# shellcheck disable=SC2034  # read by the scripts that source this file
readonly checkout cache build environment system_path

# Progress goes to stderr: stdout belongs to what the user asked for.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

failure_status=1
die() {
  say "$*"
  exit "$failure_status"
}

# For what sets the environment up: trap explain_failure EXIT; $step says what is being done.
explain_failure() {
  local status=$?
  [ "$status" = "$failure_status" ] || say "the environment could not be set up: failed while ${step-preparing}"
  exit "$failure_status"
}

require_root() { [ "$(id -u)" = 0 ] || die "must be run as root: $1"; }

# lock_file FILE DESCRIPTOR: waits for the lock; it is held while the descriptor is open.
lock_file() {
  mkdir -p -- "$(dirname -- "$1")"
  eval "exec $2>\"\$1\""
  flock --nonblock "$2" && return
  say "waiting for another run that holds $1"
  flock "$2"
}
