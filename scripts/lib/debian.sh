# shellcheck shell=bash
# Which root folder an environment takes its system from: this machine, a Debian kept in the cache, or any folder.

# Beside Nix: what end-to-end tests run.
debian_packages='busybox-static fuse3 git nix-bin openssl procps python3 sqlite3'

# system_root debian12|debian13|DIR: prints the folder, "/" for this machine. Makes the cached one if it is missing.
system_root() {
  case $1 in
    debian12) debian_root 12 bookworm ;;
    debian13) debian_root 13 trixie ;;
    */*)
      # shellcheck disable=SC2034  # read by die: this is the caller's mistake, not the machine's
      failure_status=125
      [ -d "$1" ] || die "$1 is not a folder"
      if [ ! -r "$1/etc/passwd" ] || [ ! -x "$1/bin/sh" ]; then
        die "$1 is not the root folder of a system: it has no /bin/sh or no user database"
      fi
      (cd -- "$1" && pwd -P)
      ;;
    *) die "--nix takes debian12, debian13 or a folder (with a slash in its name), not $1" ;;
  esac
}

# debian_root VERSION CODENAME
debian_root() {
  if [ "$(host_release VERSION_ID)" = "$1" ]; then
    echo /
    return
  fi
  # Its name changes with what is in it: a folder made for an older list is not taken for this one.
  local kept
  kept=$cache/debian$1-$(cksum <<<"$debian_packages" | cut -d' ' -f1)
  if [ ! -d "$kept" ]; then
    lock_file "$cache/debian$1.lock" 8
    [ -d "$kept" ] || make_debian "$2" "$kept" >&2
    exec 8>&-
  fi
  printf '%s\n' "$kept"
}

host_release() { sed -n "s/^$1=\"\\?\\([^\"]*\\)\"\\?\$/\\1/p" /etc/os-release; }

# make_debian CODENAME FOLDER: the folder appears under its name only when it is complete. Call it with the lock held.
make_debian() {
  local codename=$1 kept=$2 partial=$2.partial log=$2.log mirror
  require_root "a Debian $codename has to be prepared in $kept"
  mirror=$(debian_mirror)
  eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
  export http_proxy
  say "preparing Debian $codename in $kept from $mirror (once; about a minute)"
  rm -rf --one-file-system -- "$partial"
  mkdir -p -- "$partial"
  # Its own namespaces: what debootstrap mounts and starts ends with it. nix-bin comes in afterwards, by apt: debootstrap
  # itself configures it before packages that it needs, and leaves it broken.
  # shellcheck disable=SC2016  # the inner shell expands these
  setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc bash -eu -c '
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C
    debootstrap --variant=minbase --include=ca-certificates "$1" "$2" "$3"
    mountpoint -q "$2/proc" || mount -t proc proc "$2/proc"
    chroot "$2" apt-get update
    chroot "$2" apt-get install --yes --no-install-recommends $4
    chroot "$2" nix --version
    chroot "$2" apt-get clean
    rm -rf "$2"/var/lib/apt/lists/*
  ' - "$codename" "$partial" "$mirror" "$debian_packages" >"$log" 2>&1 </dev/null || {
    tail -n 15 -- "$log" >&2
    rm -rf --one-file-system -- "$partial"
    die "Debian $codename could not be prepared, the whole log is $log"
  }
  mv -T -- "$partial" "$kept"
}

# The mirror that this machine's apt takes its own release from.
debian_mirror() {
  local mirror
  # shellcheck disable=SC2016  # apt expands these
  mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk -v release="$(host_release VERSION_CODENAME)" '$1 == release && $2 == "main" { print $3; exit }')
  [ -n "$mirror" ] || die "apt names no mirror of Debian's main archive on this machine"
  printf '%s\n' "$mirror"
}
