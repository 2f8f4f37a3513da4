#!/usr/bin/env bash
# Inner results of every kind are readable at their path and writable by nobody in the sandbox, root
# of a nested user namespace included; a name that the builder made first is never followed.
. "$(dirname "$0")/lib.sh"

outer kinds <<'SCRIPT'
folder=$(inner folder 'mkdir -p $out/sub; echo content >$out/sub/file')
file=$(inner file 'echo content >$out')
program=$(inner program 'printf "#!%s/bin/sh\necho ran\n" $shell >$out; chmod +x $out')
link=$(inner link 'ln -s $dependency/sub/file $out' $folder)

[ "$(cat $folder/sub/file)" = content ] || die "folder"
[ "$(cat $file)" = content ] || die "file"
[ "$($program)" = ran ] || die "program"
[ -L $link ] && [ "$(readlink $link)" = $folder/sub/file ] && [ "$(cat $link)" = content ] || die "link"

# Every way to change a result, tried by the builder and by root of nested namespaces.
cat >attack.sh <<'ATTACK'
die() {
  echo "INSIDE: $*" >&2
  exit 1
}
attack() {
  for path in $folder $folder/sub $folder/sub/file $file $program; do
    ! (echo x >$path) 2>/dev/null || die "$1: wrote $path"
    ! (echo x >>$path) 2>/dev/null || die "$1: appended to $path"
    ! (echo x >$path/new) 2>/dev/null || die "$1: made a file in $path"
    ! chmod u+w $path 2>/dev/null || die "$1: changed the mode of $path"
    ! rm -rf $path 2>/dev/null || die "$1: removed $path"
    ! mv $path $path.moved 2>/dev/null || die "$1: renamed $path"
    ! touch $path 2>/dev/null || die "$1: touched $path"
  done
  ! rm -f $link 2>/dev/null || die "$1: removed $link"
  [ "$(cat $folder/sub/file)$(cat $file)$($program)" = contentcontentran ] || die "$1: the content changed"
}
# Remounting must not help: it is refused, or what it changes is still not writable.
remount() {
  mount -o remount,rw,bind $1 2>/dev/null || true
  mount -o remount,rw $1 2>/dev/null || true
  ! (echo x >$1/new) 2>/dev/null || die "remounted $1 and wrote"
}
ATTACK
. ./attack.sh
attack builder
export folder file program link
unshare -Urm sh -euc '. ./attack.sh; attack "nested root"; remount $folder; attack "nested root, remounted"
  echo "nested root, after: refused" >&2' || die "the nested namespace failed"

# A namespace made before the graft gets it by propagation, read-only as well.
mkfifo go
unshare -Urm --propagation slave sh -euc '. ./attack.sh; read line <go; late=$(cat late)
  [ "$(cat $late/sub/file)" = late ] || die "the late graft is not seen"
  remount $late
  ! (echo x >$late/sub/file) 2>/dev/null || die "wrote the late graft"
  echo "nested root, before: refused" >&2' &
nested=$!
inner late 'mkdir -p $out/sub; echo late >$out/sub/file' >late
echo go >go
wait $nested || die "the namespace made before the graft failed"
echo $folder $file $program $link >$out
SCRIPT
out=$(build kinds)
grep 'nested root' kinds.log
contains "log" "nested root, after: refused" "$(cat kinds.log)"
contains "log" "nested root, before: refused" "$(cat kinds.log)"
store_is_clean

step "a name that the builder made first: a folder, a file, a symlink to somewhere it may write"
for kind in folder file symlink; do
  outer "taken-$kind" <<SCRIPT
drv=\$(instantiate wanted-$kind 'mkdir \$out; echo content >\$out/content')
path=\$(nix-store -q --outputs \$drv)
mkdir mine
case $kind in
folder) mkdir \$path ;;
file) echo mine >\$path ;;
symlink) ln -s \$PWD/mine \$path ;;
esac
nix-store -r \$drv || true
[ -z "\$(ls -A mine)" ] || die "the symlink was followed"
echo survived >\$out
SCRIPT
  if out=$(build "taken-$kind" 2>&1); then
    fail "taken-$kind: the name was taken, but the build went on: $(cat "taken-$kind.log")"
  fi
  echo "taken-$kind: $(tail -n 3 "taken-$kind.log" | tr '\n' ' ')"
done
store_is_clean
