# shellcheck shell=bash
# The private store's first contents: a Nix and a shell that run in sandboxes. Made once for each Nix, kept in the cache
# as a whole /nix, and copied from there.

# nix_binary SYSTEM: prints the path of nix below the root folder SYSTEM.
nix_binary() {
  chroot "$1" /bin/sh -c "PATH=$system_path; readlink -f -- \"\$(command -v nix)\"" ||
    die "there is no nix in $1"
}

# store_key SYSTEM: changes with the Nix, its libraries, the shell, and the way this file puts them together.
store_key() {
  local system=$1 nix
  nix=$(nix_binary "$system")
  {
    cat -- "${system%/}$nix" /bin/busybox "$checkout/scripts/lib/store.sh" "$checkout/scripts/lib/bundle.sh"
    linked_files "$system" "$nix" | xargs chroot "$system" stat -L -c '%n %s %Y' # there, as links may be absolute
  } | sha256sum | cut -c 1-32
}

# prepare_store_paths SYSTEM FOLDER KEY: makes FOLDER/nix and FOLDER/busybox, to be added by add_store_paths.
prepare_store_paths() {
  local system=$1 folder=$2 nix name
  nix=$(nix_binary "$system")
  mkdir -p -- "$folder/nix/bin" "$folder/busybox/bin"
  copy_libraries "$system" "$folder/nix/lib" "$nix"
  cat -- "${system%/}$nix" >"$folder/nix/bin/nix"
  chmod 0755 "$folder/nix/bin/nix"
  point_at_libraries "$(first_name "$3")/lib" "$folder/nix/lib" "$folder/nix/bin/nix"
  for name in nix-build nix-collect-garbage nix-copy-closure nix-daemon nix-env nix-hash nix-instantiate nix-shell nix-store; do
    ln -s nix "$folder/nix/bin/$name"
  done
  [ ! -d "${system%/}/usr/share/nix/corepkgs" ] || bring_corepkgs "$system" "$folder/nix" "$(first_name "$3")"
  cp -L -- /bin/busybox "$folder/busybox/bin/busybox"
  for name in $(/bin/busybox --list); do
    [ "$name" = busybox ] || ln -s busybox "$folder/busybox/bin/$name"
  done
}

# bring_corepkgs SYSTEM FOLDER PLACE: a Nix before 2.4 reads a part of its language from a folder, which a variable names.
bring_corepkgs() {
  local system=$1 folder=$2 place=$3 program
  mkdir -p -- "$folder/share"
  cp -rL -- "${system%/}/usr/share/nix" "$folder/share/nix"
  mv -- "$folder/bin" "$folder/libexec"
  mkdir -- "$folder/bin"
  for program in "$folder/libexec"/*; do
    program=${program##*/}
    printf '#!/bin/sh\nNIX_DATA_DIR=%s exec %s "$@"\n' "$place/share" "$place/libexec/$program" >"$folder/bin/$program"
    chmod 0755 "$folder/bin/$program"
  done
}

# Before 2.4.
is_old_nix() { nix --version | grep -q ' 2\.[0-3]\(\.\|$\)'; }

# A store path that the Nix may be told before its content, hence its own name, is known. The hash part has to be
# one that occurs nowhere by chance, in Nix's alphabet (which has no e).
first_name() { echo "/nix/store/$(tr e z <<<"$1")-nix"; }

# add_store_paths FOLDER KEY: inside the environment. Prints AIRLOCK_NIX and AIRLOCK_SHELL as assignments.
# The Nix refers to itself, so it is registered under its first name and then moved to the name that follows from its
# content: that makes it an ordinary content-addressed path, which needs no signature anywhere. A Nix before 2.4 cannot
# do that, and keeps the first name.
add_store_paths() {
  local folder=$1 first nix shell
  first=$(first_name "$2")
  shell=$(nix-store --add "$folder/busybox")
  cp -r -- "$folder/nix" "$first"
  printf '%s\n' "$first" '' 1 "$first" | nix-store --register-validity
  if is_old_nix; then
    nix=$first
  else
    nix=$(nix --extra-experimental-features nix-command store make-content-addressed --json "$first" |
      sed -n 's/.*"\(\/nix\/store\/[^"]*\)"}}.*/\1/p')
    [ -n "$nix" ] || die 'nix store make-content-addressed did not say what it made'
    nix-store --delete "$first" >/dev/null
  fi
  mkdir -p /nix/var/nix/gcroots/airlock-env
  ln -s "$nix" /nix/var/nix/gcroots/airlock-env/nix
  ln -s "$shell" /nix/var/nix/gcroots/airlock-env/shell
  printf '%s\n' "AIRLOCK_NIX=$nix" "AIRLOCK_SHELL=$shell"
}
