#!/usr/bin/env bash
# What a build can do through a raw hole, and what airlock answers to the same attempts: one script, run through both, its
# results side by side. docs/security.md is the table of it.
. "$(dirname "$0")/lib.sh"
. "$tests/hole.sh"
raw=$(nix-store --add "$AIRLOCK_RAW_CLIENT")
attack=$(nix-store --add "$AIRLOCK_ATTACK_CLIENT")
mkdir nars
python3 "$tests/hostile_nars.py" nars
open_hole nobody nobody
open_hole root root

step "the hosts' secrets: a file, a build with a log, a root in somebody's home"
echo "secret of the host" >secret
hidden=$(nix-store --add secret)
echo "known to the build" >known
known=$(nix-store --add known)
cat >other.nix <<NIX
derivation { name = "other"; system = builtins.currentSystem; builder = "$AIRLOCK_SHELL/bin/sh"; known = builtins.storePath $known;
  shell = builtins.storePath $AIRLOCK_SHELL; args = [ "-c" "echo token-in-the-log; echo \$known >\$out" ]; }
NIX
mkdir -p /run/home/alice
other=$(nix-build other.nix -o /run/home/alice/result 2>/dev/null)
other_drv=$(nix-store -q --deriver "$other")
cat >forged.nix <<NIX
derivation { name = "forged"; system = builtins.currentSystem; builder = "\${builtins.storePath $AIRLOCK_SHELL}/bin/sh";
  args = [ "-c" "\${builtins.storePath $AIRLOCK_SHELL}/bin/cat \${builtins.storePath $hidden} >\$out" ]; }
NIX
mkdir texts
forged=$(nix-instantiate forged.nix 2>/dev/null)
forged_out=$(nix-store -q --outputs "$forged")
cp "$forged" texts/forged
doomed_for() { echo "doomed by $1" >doomed && nix-store --add doomed; }

step "the same attempts through both"
# attempts SIDE: SIDE.nix, whose output has a line an attempt.
attempts() {
  outer "$1" "raw = builtins.storePath $raw; attack = builtins.storePath $attack; known = builtins.storePath $known; texts = ./texts;
    nars = ./nars; hidden = \"$hidden\"; other = \"$other\"; otherDrv = \"$other_drv\"; forgedOut = \"$forged_out\"; doomed = \"$(basename "$(doomed_for "$1")")\"; ${2-}" <<'SCRIPT'
: >$out
# try NAME COMMAND...: one line of what came of it.
try() {
  attempt=$1
  shift
  if said=$("$@" 2>&1); then how=worked; else how=failed; fi
  printf '%s: %s: %s\n' "$attempt" $how "$(echo "$said" | grep -v '^warning: ' | tr '\n' ' ' | cut -c 1-400)" >>$out
}
nixc() { nix --extra-experimental-features nix-command "$@"; }
list_all() { nixc path-info --all | grep -x -e $hidden -e $other; }
try list-all list_all
try is-valid $raw question 1 $hidden
try content $raw question 38 $hidden
build_forged() {
  drv=$($raw add forged.drv text:sha256 $texts/forged $hidden $shell) || { echo $drv; return 1; }
  # Read by a build of its own, where there is no graft.
  $raw build $drv && nix-build --no-out-link --argstr shell $shell --argstr path $forgedOut -E '{ shell, path }:
    let tools = builtins.storePath shell; in derivation { name = "reads"; system = builtins.currentSystem; builder = "${tools}/bin/sh";
    args = [ "-c" "${tools}/bin/cat ${builtins.storePath path} >&2; echo >$out" ]; }' 2>&1 | grep "secret of"
}
try hidden-input build_forged
try referrers nix-store -q --referrers $known
try deriver nix-store -q --deriver $other
try roots nix-store --gc --print-roots
try time nixc path-info --json $known
try log-file sh -c "bzcat /nix/var/log/nix/drvs/*/*other.drv.bz2 || cat /nix/var/log/nix/drvs/*/*other.drv*"
try database head -c 15 /nix/var/nix/db/db.sqlite
try users ls -l /nix/var/nix/gcroots/auto
# Nix takes what it finds in a process's environment for a root, so it is not named there in full.
try delete nix-store --delete /nix/store/$doomed
try verify nix-store --verify
try optimise $attack never OptimiseStore $known
echo root >rooted
plant() { nix-store -r $(nix-store --add rooted) --add-root $PWD/planted --indirect; }
try permanent-root plant
writable() {
  find /nix/var -xdev 2>/dev/null | while read -r each; do
    case $each in /nix/var/hole/*) ;; *) [ -L "$each" ] || [ ! -w "$each" ] || echo "$each" ;; esac
  done | head -n 5 | grep .
}
try writable writable
import() { $attack nar /nix/store/00000000000000000000000000000000-$1 '' $nars/sound $(sha256sum <$nars/sound | cut -d' ' -f1) unchecked; }
try unsigned import unsigned-$name
try unsigned-trusted env AIRLOCK_SOCKET=${trusted:-/nix/var/nix/daemon-socket/socket} $attack nar /nix/store/00000000000000000000000000000001-unsigned-$name '' $nars/sound $(sha256sum <$nars/sound | cut -d' ' -f1) unchecked
flood() { n=0; while [ $n -lt 300 ]; do n=$((n + 1)); echo $name $n >file-$n; done; nix-store --add file-* >added && wc -l <added; }
try flood flood
# A newer client reads the .drv file back, and gets no further in the hole.
read_result() { made=$(inner made-$name "echo made-$name >\$out" 2>building) || { tail -n 1 building; return 1; }; cat $made; }
try read-result read_result
echo "result of $name" >result
echo "result: $(nix-store --add result)" >>$out
SCRIPT
}
attempts hole 'requiredSystemFeatures = [ ]; trusted = "/nix/var/hole/root/socket";'
attempts locked
# The prelude is airlock's; the hole has what the seed's builders had.
{
  printf 'export NIX_REMOTE=unix:///nix/var/hole/nobody/socket AIRLOCK_SOCKET=/nix/var/hole/nobody/socket HOME=$TMPDIR\n'
  tail -n +3 "$tests/prelude.sh"
  sed "1,$(wc -l <"$tests/prelude.sh")d" hole.sh
} >hole.new
mv hole.new hole.sh
hole=$(hole_build hole) || fail "the hole's build failed"
locked=$(build locked) || fail "airlock's build failed"
line() { grep "^$2: " "$1" || fail "$1 has no $2: $(cat "$1")"; }
# sides NAME HOLE AIRLOCK: what each side's line has to contain.
sides() {
  local of_hole of_airlock
  of_hole=$(line "$hole" "$1")
  of_airlock=$(line "$locked" "$1")
  printf -- '-- %s\n   raw hole: %.220s\n   airlock:  %.220s\n' "$1" "${of_hole#"$1": }" "${of_airlock#"$1": }"
  contains "$1 in the raw hole" "$2" "$of_hole"
  contains "$1 in airlock" "$3" "$of_airlock"
}
sides list-all "$hidden" "failed: "
sides is-valid "answered 1" "answered 0"
sides content "worked: answered 13" "path-visible"
sides hidden-input "secret of the host" "references-visible"
sides referrers "$other" "worked: "
sides deriver "$other_drv" "failed: "
sides roots "/run/home/alice/result" "never"
registered=$(sqlite3 "file:$state/db/db.sqlite?mode=ro" "select registrationTime from ValidPaths where path = '$known'")
sides time "\"registrationTime\":$registered" "worked: "
sides log-file "token-in-the-log" "failed: "
sides database "worked: SQLite format 3" "failed: "
sides users "/run/home/alice/result" "failed: "
sides delete "worked: " "never"
sides verify "worked: " "never"
sides optimise "worked: " "never"
sides permanent-root "worked: " "worked: "
sides writable "worked: /nix/var/nix/daemon-socket/socket /nix/var/nix/gc-socket/socket" "worked: /nix/var/nix/daemon-socket/socket "
sides unsigned "failed: " "add-content-addressed"
sides unsigned-trusted "worked: " "add-content-addressed"
sides flood "worked: 300" "worked: 300"
sides read-result "No such file or directory" "worked: made-locked"
of_airlock=$(cat "$locked")
# What was asked about is named in a refusal; what was not asked about appears nowhere.
for told in "$hidden" "$other" "$other_drv" alice token-in-the-log "registrationTime\":$registered" "secret of the host"; do
  lacks "all that airlock answered" "$told" "$(grep -v '^\(content\|hidden-input\|deriver\|is-valid\|delete\): failed' <<<"$of_airlock")"
done

step "the store afterwards"
in_store() { nix-store --check-validity "$1" 2>/dev/null && echo valid || echo gone; }
doomed_hole=/nix/store/$(nix-instantiate --eval -E "(import ./hole.nix).doomed" | tr -d '"')
doomed_locked=/nix/store/$(nix-instantiate --eval -E "(import ./locked.nix).doomed" | tr -d '"')
equal "the path that the hole deleted" gone "$(in_store "$doomed_hole")"
equal "the path that airlock was asked to delete" valid "$(in_store "$doomed_locked")"
equal "the hole's forged path, by a trusted relay" valid "$(in_store /nix/store/00000000000000000000000000000001-unsigned-hole)"
equal "airlock's" gone "$(in_store /nix/store/00000000000000000000000000000001-unsigned-locked)"
planted() { find "$state/gcroots/auto" -lname '*planted' | wc -l; }
equal "roots of the host's that the hole planted, and airlock did not add to" 1 "$(planted)"

step "references: what the output names, and what garbage collection leaves of it"
result_of() { sed -n 's/^result: //p' "$1"; }
lacks "the hole's references" "$(result_of "$hole")" "$(references "$hole")"
contains "airlock's references" "$(result_of "$locked")" "$(references "$locked")"
nix-store --realise "$hole" "$locked" --add-root kept --indirect >/dev/null
nix-store --delete "$(result_of "$hole")" >/dev/null 2>&1 || fail "the hole's result is held"
refuses "deleting what airlock's output names" nix-store --delete "$(result_of "$locked")"

step "the same derivation, with another host around it"
echo "only some hosts have this" >some
some=$(nix-store --add some)
socket_of() { if [ "$1" = hole ]; then echo /nix/var/hole/nobody/socket; else echo $state/daemon-socket/socket; fi; }
for side in hole locked; do
  cat >"present-$side.nix" <<NIX
let outer = import ./$side.nix; in derivation {
  inherit (outer) system shell raw builder requiredSystemFeatures;
  name = "present-$side";
  args = [ "-euc" "export AIRLOCK_SOCKET=$(socket_of $side); \$raw question 1 $some >\$out" ];
}
NIX
done
nix-store --delete "$some" >/dev/null 2>&1
# asked SIDE: its answer, built anew.
asked() {
  local out
  if [ "$1" = hole ]; then out=$(hole_build "present-$1"); else out=$(build "present-$1"); fi
  cat "$out"
  nix-store --delete "$out" >/dev/null 2>&1
}
equal "the hole at a host that has not" "answered 0" "$(asked hole)"
equal "airlock at a host that has not" "answered 0" "$(asked locked)"
nix-store --add some >/dev/null
equal "the hole at a host that has" "answered 1" "$(asked hole)"
equal "airlock at a host that has" "answered 0" "$(asked locked)"

step "the network, asked by an inner fixed-output derivation"
mkdir www
echo "answer-of-the-network" >www/index.html
port=''
for try in $(seq 20); do
  port=$((20000 + RANDOM % 20000))
  "$AIRLOCK_SHELL/bin/busybox" httpd -f -p "127.0.0.1:$port" -h "$PWD/www" 2>/dev/null &
  relays+=($!)
  sleep 0.3
  if kill -0 "${relays[-1]}" 2>/dev/null; then break; fi
  unset 'relays[-1]'
  [ "$try" != 20 ] || fail "no port is free"
done
cat >fixed.nix <<'NIX'
{ shell, port, text }:
derivation { name = "fixed"; system = builtins.currentSystem; builder = "${builtins.storePath shell}/bin/sh";
  args = [ "-euc" "${builtins.storePath shell}/bin/wget -q -O - http://127.0.0.1:${port}/; exit 1 # ${text}" ];
  outputHashAlgo = "sha256"; outputHashMode = "flat"; outputHash = builtins.hashString "sha256" text; }
NIX
for side in hole locked; do
  outer "fetch-$side" "fixed = $PWD/fixed.nix; $([ $side = locked ] || echo 'requiredSystemFeatures = [ ];')" <<SCRIPT
nix-build \$fixed --no-out-link --argstr shell \$shell --argstr port $port --argstr text $side 2>&1 | grep -o 'answer-of-the-network' >\$out || true
SCRIPT
done
{ sed -n 1p hole.sh; tail -n 1 fetch-hole.sh; } >fetch.new
mv fetch.new fetch-hole.sh
equal "what the hole's build learnt" answer-of-the-network "$(sort -u "$(hole_build fetch-hole)")"
refuses "the same in airlock" build fetch-locked
contains "why" "the fixed-output derivation" "$output"
lacks "its log" answer-of-the-network "$output"

step "a build that asks for itself"
for side in hole locked; do
  outer "self-$side" "outputHashAlgo = \"sha256\"; outputHashMode = \"flat\"; outputHash = builtins.hashString \"sha256\" \"self-$side\n\";
    self = builtins.toFile \"self.nix\" \"{ shell }: derivation { name = \\\"self-$side\\\"; system = builtins.currentSystem; builder = \\\"\\\${builtins.storePath shell}/bin/sh\\\"; args = [ ]; outputHashAlgo = \\\"sha256\\\"; outputHashMode = \\\"flat\\\"; outputHash = builtins.hashString \\\"sha256\\\" \\\"self-$side\\\\n\\\"; }\";
    $([ $side = locked ] || echo 'requiredSystemFeatures = [ ];')" <<SCRIPT
status=0
timeout 5 nix-build \$self --no-out-link --argstr shell \$shell >said 2>&1 || status=\$?
echo "status \$status: \$(tail -n 1 said)" >&2
echo self-$side >\$out
SCRIPT
done
{ sed -n 1p hole.sh; sed "1,$(wc -l <"$tests/prelude.sh")d" self-hole.sh; } >self.new
mv self.new self-hole.sh
hole_build self-hole >/dev/null || fail "the hole's self"
build self-locked >/dev/null || fail "airlock's self"
grep -h '^status' self-hole.log self-locked.log || true
contains "the hole waits for itself until somebody ends it" "interrupted by the user" "$(cat self-hole.log)"
contains "airlock says so at once" "no-cycle" "$(cat self-locked.log)"
