#!/bin/sh
# Runs one test file in mount and pid namespaces of its own, so that nothing it leaves stays: when
# its first process ends, so do all others, and with them the mounts.
set -eu
skip() { echo "skipped: $1"; exit 77; }

[ "$(id -u)" = 0 ] || skip "real mounts need root"
[ -c /dev/fuse ] || skip "there is no /dev/fuse"
unshare --mount --pid --fork true 2>/dev/null || skip "namespaces cannot be made here"
unshare --user true 2>/dev/null || skip "user namespaces cannot be made here"

AIRLOCK_FS=$1
here=$(dirname "$0")
export AIRLOCK_FS PYTHONPATH="$here" PYTHONDONTWRITEBYTECODE=1
exec unshare --mount --pid --fork --kill-child --mount-proc python3 "$here/$2"
