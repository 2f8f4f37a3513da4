#!/usr/bin/env bash
# Static mode: one sandbox path for all builds and no pre-build hook. The view is chosen by who asks.
. "$(dirname "$0")/lib.sh"

step "nix.conf has one sandbox path and a post-build hook"
static_mode
cat /etc/nix/nix.conf

step "the seed's example"
outer seed <<'SCRIPT'
path=$(inner inside 'echo FOO >$out')
[ "$(cat $path)" = FOO ] || die "the result reads $(cat $path)"
drv=$(instantiate realised 'echo BAR >$out')
realised=$(nix-store -r $drv)
[ "$(cat $realised)" = BAR ] || die "the realised result reads $(cat $realised)"
ls /nix/var/airlock/store | grep -q -- -inside$ || die "the result is not in the view"
printf '%s\n' $path $realised >$out
SCRIPT
out=$(build seed)
equal "the inner result" FOO "$(cat "$(head -n 1 "$out")")"
equal "references" "$(sort "$out")" "$(references "$out")"
last_is_closed() { [ "$(query "select state from sessions order by id desc limit 1")" = closed ]; }
eventually "the session to be closed" 20 last_is_closed

step "a build that does not ask finds an empty folder"
cat >quiet.sh <<'SCRIPT'
[ -d /nix/var ] && [ -z "$(ls -A /nix/var)" ] || { echo "found: $(ls -A /nix/var)" >&2; exit 1; }
[ ! -e /nix/var/nix ] && [ ! -e /nix/var/nix/daemon-socket/socket ] || exit 1
if mkdir /nix/var/new 2>/dev/null; then exit 1; fi
echo quiet >$out
SCRIPT
sed -e '/requiredSystemFeatures/d' -e 's/seed/quiet/' seed.nix >quiet.nix
before=$(query 'select count(*) from sessions')
equal "the quiet build" quiet "$(cat "$(build quiet)")"
equal "sessions that it made" "$before" "$(query 'select count(*) from sessions')"

step "two builds at once, each with its own visible set"
for side in left right; do
  outer $side <<SCRIPT
echo "only of $side" >mine
mine=\$(nix-store --add mine)
own=\$(inner own-$side 'echo $side >\$out')
n=0
while [ \$n -lt 150 ]; do
  grep -q -- "-$side.drv" /nix/var/airlock/session.json || die "round \$n: \$(cat /nix/var/airlock/session.json)"
  ls /nix/var/airlock/store >seen
  grep -q -- "-own-$side\$" seen || die "round \$n: my own is not there"
  if grep -E -- "-own-(left|right)\$" seen | grep -v -- "-own-$side\$"; then die "round \$n: the other's is there"; fi
  [ "\$(cat /nix/var/airlock/store/\${own##*/})" = $side ] || die "round \$n: wrong content"
  n=\$((n + 1))
  [ \$n != 20 ] || sleep 4
done
nix-store -q --references \$mine >/dev/null
echo \$own >\$out
SCRIPT
done
echo '{ left = import ./left.nix; right = import ./right.nix; }' >pair.nix
nix-build --no-out-link pair.nix -j 4 >pair 2>pair.log || fail "$(cat pair.log)"
for side in left right; do
  out=$(grep -- "-$side$" pair)
  equal "references of $side" "$(cat "$out")" "$(references "$out")"
done
spans="select min(o.at) first, max(o.at) last from operations o join sessions s on s.id = o.session where s.derivation"
overlap=$(query "select count(*) from ($spans like '%-left.drv') l, ($spans like '%-right.drv') r where l.first < r.last and r.first < l.last")
equal "sessions that overlap" 1 "$overlap"

step "namespaces of the build's own, before first contact and after"
outer nested <<'SCRIPT'
mine() { grep -q -- '-nested.drv' /nix/var/airlock/session.json; }
unshare -Ur sh -c 'grep -q -- -nested.drv /nix/var/airlock/session.json' || die "user namespace, before"
unshare -Urm sh -c 'grep -q -- -nested.drv /nix/var/airlock/session.json' || die "mount namespace"
unshare -Urmpf sh -c 'grep -q -- -nested.drv /nix/var/airlock/session.json' || die "pid namespace"
mine || die "after"
unshare -Urm nix-store -q --hash $shell >/dev/null || die "a client in a namespace of its own"
echo done >$out
SCRIPT
if build nested >nested.out; then equal "nested" done "$(cat "$(cat nested.out)")"; else fail "$(cat nested.log)"; fi

step "a root that spells another live derivation"
outer victim <<'SCRIPT'
grep -q -- -victim.drv /nix/var/airlock/session.json || die "not mine"
echo victim-is-open >&2
sleep 12
grep -q -- -victim.drv /nix/var/airlock/session.json || die "not mine any more"
echo safe >$out
SCRIPT
victim=$(nix-instantiate victim.nix)
nix-build --no-out-link victim.nix >victim.out 2>victim.log &
building=$!
eventually "the victim to be open" 30 grep -q victim-is-open victim.log
for who in nested first; do
  for contact in before after; do
    for tail in '' /root; do
      name=liar-$who-$contact-$(basename "${tail:-flat}")
      outer "$name" "victim = builtins.unsafeDiscardStringContext \"$victim\"; tail = \"$tail\"; contact = \"$contact\"; who = \"$who\";" <<'SCRIPT'
#lie
fake=$PWD/fake$victim.chroot$tail
mkdir -p $fake/nix/var $fake/nix/store $fake/old $fake/proc
[ $contact = before ] || ls /nix/var/airlock >/dev/null
cat >lie.sh <<'LIE'
set -eu
mount --rbind /proc $fake/proc 2>/dev/null || true
mount --bind $fake $fake
mount --rbind /nix/store $fake/nix/store
mount --rbind /nix/var $fake/nix/var
cd $fake
pivot_root . old
cd /
env NIX_BUILD_TOP=$victim DRV_PATH=$victim cat /nix/var/airlock/session.json >/old$top/saying 2>&1 || echo nothing >/old$top/saying
mv /old$top/saying /old$top/said
LIE
export fake victim
export top=$PWD
if [ $who = first ]; then
  # This shell is the sandbox's first process: it becomes the liar, and a child reports.
  (while [ ! -s said ]; do sleep 0.1; done; cat said >$out) &
  exec unshare -Urm sh -c '. ./lie.sh; wait; i=0; while [ ! -s /old$out ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i + 1)); done'
fi
unshare -Urm sh ./lie.sh
cat said >$out
SCRIPT
      # Without the prelude, which looks into the view.
      [ $contact = after ] || sed -i -n -e '/^#lie/,$p' "$name.sh"
      said=$(cat "$(build "$name")") || fail "$(cat "$name.log")"
      printf '%s: %s\n' "$name" "$(tr -d '\n ' <<<"$said")"
      lacks "$name" "-victim.drv" "$said"
      # Also before: mount itself asks, with the root that the process still has then.
      contains "$name" "-$name.drv" "$said"
    done
  done
done
wait "$building" || fail "$(cat victim.log)"
equal "the victim" safe "$(cat "$(cat victim.out)")"

step "a derivation that asks and cannot have a session is ended with the reason"
echo other >other
outer stray "airlockNixPath = [ \"nixpkgs=$(nix-store --add other)\" ];" <<<'echo never >$out'
refuses "a search path entry outside the closure" build stray
contains "the log" "not in the closure" "$output"

step "granted something while no post-build hook is configured"
sed -i -e '/^post-build-hook/d' /etc/nix/nix.conf
airlock-env stop-nix-daemon
airlock-env start-nix-daemon
outer unsettled <<'SCRIPT'
nix-store -q --hash $shell >/dev/null || die "questions are answered"
echo asked >&2
inner inside 'echo FOO >$out' >$out
SCRIPT
refuses "a grant that no hook would settle" build unsettled
contains "the log" "asked" "$output"
contains "the log" "has no post-build-hook" "$output"

store_is_clean
