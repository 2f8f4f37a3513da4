# shellcheck shell=bash
# Building airlock with the presets of CMakePresets.json.

# build_preset PRESET: configures and builds it in build/PRESET.
build_preset() {
  say "building preset $1"
  (cd -- "$checkout" && cmake --preset "$1" && cmake --build --preset "$1") >&2 ||
    die "preset $1 could not be built"
}

# The folder $build holds the programs that the environment runs. Only the default folder is built here:
# whoever names another one keeps it up to date.
require_programs() {
  local program missing=()
  for program in bin/airlock bin/airlockd bin/airlock-fetchd bin/airlock-fs libexec/airlock/pre-build-hook libexec/airlock/post-build-hook; do
    [ -x "$build/$program" ] || missing+=("$program")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$build" = "$checkout/build/release" ] || die "$build has no ${missing[*]}: build that preset first"
  lock_file "$checkout/build/.lock" 8
  build_preset release
  exec 8>&-
}
