# shellcheck shell=bash
# Programs together with their libraries and their loader, so that they run where none of these is installed.

# copy_libraries SYSTEM FOLDER PROGRAM...: what ldd names for the programs (paths below the root folder SYSTEM).
copy_libraries() {
  local system=$1 folder=$2 library
  shift 2
  mkdir -p -- "$folder"
  linked_files "$system" "$@" | while read -r library; do
    chroot "$system" cat "$library" >"$folder/${library##*/}"
    chmod 0755 "$folder/${library##*/}"
    # A library that names a folder of its system's is not searched for by the program's RPATH.
    [ -z "$(patchelf --print-rpath "$folder/${library##*/}")" ] || patchelf --remove-rpath "$folder/${library##*/}"
  done
}

# linked_files SYSTEM PROGRAM...: their libraries and loader, each once, and the one library that Nix loads by name.
linked_files() {
  local system=$1
  shift
  LD_LIBRARY_PATH='' chroot "$system" ldd "$@" |
    awk '$2 == "=>" && $3 ~ /^\// { print $3; if (sub(/libc\.so\.6$/, "libnss_dns.so.2", $3)) print $3 }
      $1 ~ /^\/.*\/ld-[^\/]*$/ && $2 != "=>" { print $1 }' | sort -u
}

# point_at_libraries FOLDER PROGRAM...: the programs will look for loader and libraries in FOLDER, where those of
# LIBRARIES are going to be. RPATH rather than RUNPATH: it also holds for what the libraries themselves need.
point_at_libraries() {
  local folder=$1 libraries=$2 loader program
  shift 2
  loader=$(cd -- "$libraries" && echo ld-*.so.*)
  for program; do
    patchelf --set-interpreter "$folder/$loader" "$program"
    patchelf --force-rpath --set-rpath "$folder" "$program"
  done
}

# bundle_airlock FOLDER PLACE: airlock's programs and hooks for a system that is not the one they were built on, in FOLDER,
# which will be at PLACE when they run.
bundle_airlock() {
  local folder=$1 place=$2 program programs=() copies=()
  for program in "$build"/bin/airlock* "$build"/libexec/airlock/*; do
    if [ ! -f "$program" ] || [ ! -x "$program" ]; then continue; fi
    programs+=("$program")
    copies+=("$folder/${program#"$build"/}")
  done
  mkdir -p -- "$folder/bin" "$folder/libexec/airlock"
  local i binaries=() patched=()
  for i in "${!programs[@]}"; do
    cp -P -- "${programs[i]}" "${copies[i]}"
    if [ -L "${copies[i]}" ] || ! has_loader "${copies[i]}"; then continue; fi
    binaries+=("${programs[i]}")
    patched+=("${copies[i]}")
  done
  copy_libraries / "$folder/lib" "${binaries[@]}"
  point_at_libraries "$place/lib" "$folder/lib" "${patched[@]}"
}

# Scripts and static programs run as they are.
has_loader() { patchelf --print-interpreter "$1" >/dev/null 2>&1; }
