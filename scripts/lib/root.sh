# shellcheck shell=bash
# A root folder for the embedded environment: the system's folders from one place, everything else from the caller.
# Runs in a mount namespace of its own; all that is written to the system's folders lands in a tmpfs.

is_system_folder() {
  case $1 in
    bin | sbin | lib | lib32 | lib64 | libx32 | usr | etc | var) true ;;
    *) false ;;
  esac
}

# assemble_root SYSTEM ROOT
assemble_root() {
  local system=${1%/} root=$2 entry name
  mount -t tmpfs -o mode=755 embedded-root "$root"
  mkdir "$root/.layers" "$root/nix" "$root/run" "$root/proc" "$root/.caller"
  for entry in "$system"/* /* /.[!.]*; do
    name=${entry##*/}
    if [ -e "$root/$name" ] || [ -L "$root/$name" ]; then continue; fi
    if is_system_folder "$name"; then
      [ "$entry" = "$system/$name" ] || continue
      add_system_entry "$system" "$root" "$name"
    elif [ "$entry" = "/$name" ]; then
      add_caller_entry "$root" "$name"
    fi
  done
  [ -d "$root/tmp" ] || mkdir -m 1777 "$root/tmp"
  mount -t tmpfs -o mode=755 embedded-run "$root/run"
  mount -t tmpfs -o mode=755 embedded-nix "$root/nix"
  mount -t proc proc "$root/proc"
  mkdir -m 1777 "$root/run/lock"
}

add_system_entry() {
  local system=$1 root=$2 name=$3
  if [ -L "$system/$name" ]; then
    cp -P -- "$system/$name" "$root/$name"
    return
  fi
  mkdir -p "$root/$name" "$root/.layers/$name/upper" "$root/.layers/$name/work"
  # By a relative name: the folder's own may hold what mount options cannot.
  (cd -- "$system/" && mount -t overlay \
    -o "lowerdir=$name,upperdir=$root/.layers/$name/upper,workdir=$root/.layers/$name/work" embedded-system "$root/$name")
}

add_caller_entry() {
  local root=$1 name=$2
  if [ -L "/$name" ]; then
    cp -P -- "/$name" "$root/$name"
  elif [ -d "/$name" ]; then
    mkdir "$root/$name"
    mount --rbind -- "/$name" "$root/$name"
  fi
}

# show_folder ROOT FOLDER: a folder of the caller's that lies below one of the system's.
show_folder() {
  local top=${2#/}
  is_system_folder "${top%%/*}" || return 0
  mkdir -p -- "$1$2"
  mount --rbind -- "$2" "$1$2"
}

# write_network_files ROOT: what Nix before 2.4 gives to every fixed-output build, whether it is there or not.
write_network_files() {
  local file
  for file in hosts resolv.conf nsswitch.conf services; do
    [ -e "$1/etc/$file" ] || [ -L "$1/etc/$file" ] || : >"$1/etc/$file"
  done
}

# write_accounts ROOT: the build users, and airlock's own two.
write_accounts() {
  local etc=$1/etc members='' file number
  for file in passwd group; do
    { grep -v -e '^nixbld' -e '^airlock:' -e '^airlock-fetch:' "$etc/$file" || true; } >"$etc/$file.new"
  done
  for number in 1 2 3 4 5 6 7 8; do
    echo "nixbld$number:x:$((30000 + number)):30000:Nix build user $number:/var/empty:/usr/sbin/nologin" >>"$etc/passwd.new"
    members+=${members:+,}nixbld$number
  done
  echo 'airlock:x:30100:30100:airlock:/var/lib/airlock:/usr/sbin/nologin' >>"$etc/passwd.new"
  echo 'airlock-fetch:x:30101:30101:airlock fetches:/var/empty:/usr/sbin/nologin' >>"$etc/passwd.new"
  printf '%s\n' "nixbld:x:30000:$members" 'airlock:x:30100:' 'airlock-fetch:x:30101:' >>"$etc/group.new"
  for file in passwd group; do mv -- "$etc/$file.new" "$etc/$file"; done
  # Programs of another system than this one cannot load its name services: files is built into all of them.
  printf '%s\n' 'passwd: files' 'group: files' 'shadow: files' 'hosts: files dns' >"$etc/nsswitch.conf"
}
