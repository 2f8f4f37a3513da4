#!/usr/bin/env bash
# kill -9 of airlockd, of airlock-fs and of nix-daemon at the worst moments: the build fails with a
# clear message or its output is complete; that of airlock-fs alone loses none (restart.sh has more of that). What is owed
# is held by roots and settled at the next start.
. "$(dirname "$0")/lib.sh"

restart() { # restart SERVICE: as a service manager would, after it was killed
  airlock settle || fail "airlock settle failed"
  airlock-env "start-$1"
}
has_ended() { ! kill -0 "$1" 2>/dev/null; }

# complete NAME: its output exists and refers to the inner result it names.
complete() {
  local out
  out=$(nix-build --no-out-link "$1.nix" 2>"$1.again.log") || fail "$1 does not build afterwards: $(cat "$1.again.log")"
  equal "$1: references" "$(cat "$out")" "$(references "$out")"
  contains "$1: closure" "$(cat "$out")" "$(closure "$out")"
  [ -e "$(cat "$out")" ] || fail "$1: $(cat "$out") is gone"
}

for service in mediator fs; do
  for moment in inner after; do
    name=$service-$moment
    step "kill -9 of $service, ${moment/inner/during an inner build}"
    outer "$name" <<SCRIPT
path=\$(inner slow-$name 'echo inner-started; sleep 4; echo slow >\$out') || die "the inner build failed"
echo asked >&2
[ $moment = inner ] || sleep 4
echo \$path >\$out
SCRIPT
    nix-build --no-out-link "$name.nix" >"$name.out" 2>"$name.log" &
    building=$!
    if [ $moment = inner ]; then
      eventually "the inner build runs" 60 grep -q inner-started "$name.log"
    else
      eventually "the last question was asked" 60 grep -q asked "$name.log"
    fi
    kill -9 "$(airlock-env pid-of $service)"
    sleep 0.3
    restart $service
    airlock status --wait 20 || fail "airlock is not up again"
    status=0
    wait "$building" || status=$?
    if [ "$status" = 0 ]; then
      echo "$name: built"
      out=$(cat "$name.out")
      equal "$name: references" "$(cat "$out")" "$(references "$out")"
    else
      [ $service != fs ] || fail "$name was lost: $(cat "$name.log")"
      echo "$name: failed: $(grep -i airlock "$name.log" | tail -n 1)"
      grep -qi airlock "$name.log" || fail "$name: no clear message in: $(cat "$name.log")"
    fi
    complete "$name"
    store_is_clean
  done
done

step "a builder that would go on without its airlock does not get to, and gets its answer when it is back"
outer stubborn <<'SCRIPT'
path=$(inner slow-stubborn 'echo inner-started; sleep 3; echo slow >$out') || path="I saw that the airlock was lost"
echo "$path" >$out
SCRIPT
nix-build --no-out-link stubborn.nix >stubborn.out 2>stubborn.log &
building=$!
eventually "the inner build runs" 60 grep -q inner-started stubborn.log
kill -9 "$(airlock-env pid-of fs)"
sleep 5 # the inner build is done by now; its answer is held back
kill -0 "$building" || fail "the build went on: $(cat stubborn.out stubborn.log)"
lacks "the log" "error" "$(cat stubborn.log)"
restart fs
wait "$building" || fail "the build was lost: $(cat stubborn.log)"
out=$(cat stubborn.out)
equal "what it was told" slow "$(cat "$(cat "$out")")"
equal "stubborn: references" "$(cat "$out")" "$(references "$out")"

step "both killed: nobody can say what the builds had, so they are ended"
outer both <<'SCRIPT'
inner kept-both 'echo kept >$out'
echo asked >&2
sleep 1000
SCRIPT
nix-build --no-out-link both.nix >both.out 2>both.log &
building=$!
eventually "the question was answered" 60 grep -q asked both.log
kill -9 "$(airlock-env pid-of fs)" "$(airlock-env pid-of mediator)"
sleep 0.3
restart fs
restart mediator
wait "$building" && fail "the build went on: $(cat "$(cat both.out)")"
contains "the log" "airlock-fs was restarted" "$(cat both.log)"
store_is_clean

step "airlock-fs told to end its builds ends them"
outer interrupted <<'SCRIPT'
inner slow-interrupted 'echo inner-started; sleep 6; echo slow >$out' || true
echo "I saw that airlock-fs was stopped" >$out
SCRIPT
nix-build --no-out-link interrupted.nix >interrupted.out 2>interrupted.log &
building=$!
eventually "the inner build runs" 60 grep -q inner-started interrupted.log
kill -INT "$(airlock-env pid-of fs)"
wait "$building" && fail "the build went on: $(cat "$(cat interrupted.out)")"
contains "the log" "airlock-fs was stopped" "$(cat interrupted.log)"
restart fs
airlock status --wait 20

step "airlockd told to stop ends the builds first"
outer stopped <<'SCRIPT'
inner slow-stopped 'echo inner-started; sleep 6; echo slow >$out' || true
echo "I saw that airlockd was stopped" >$out
SCRIPT
nix-build --no-out-link stopped.nix >stopped.out 2>stopped.log &
building=$!
eventually "the inner build runs" 60 grep -q inner-started stopped.log
airlock-env stop-mediator
wait "$building" && fail "the build went on: $(cat "$(cat stopped.out)")"
contains "the log" "airlockd was stopped" "$(cat stopped.log)"
restart mediator

step "nix-daemon killed between the registration of the output and the settling of its references"
outer owed <<'SCRIPT'
inner kept 'echo kept >$out' >$out
echo asked >&2
sleep 3
SCRIPT
nix-build --no-out-link owed.nix >owed.out 2>owed.log &
building=$!
drv=$(nix-instantiate owed.nix 2>/dev/null)
out=$(nix-store -q --outputs "$drv")
eventually "the last question was asked" 60 grep -q asked owed.log
debt=$debts/${drv##*/}
[ -d "$debt" ] || fail "no debt at $debt"
# Its lock, held, keeps the hook from settling; airlockd shares it while the session is open.
exec 9<"$debt"
flock -s 9
valid_without_asking() { [ "$(sqlite3 "file:$state/db/db.sqlite?mode=ro" "select count(*) from ValidPaths where path = '$out'")" = 1 ]; }
eventually "the output is registered" 60 valid_without_asking
eventually "the hook runs" 20 pgrep -f post-build
hook=$(pgrep -f post-build | head -n 1)
worker=$(awk '/^PPid:/ { print $2 }' "/proc/$hook/status")
# All of it is lost at once; the lock, still held, keeps airlock-fs's own rescue out as well.
kill -9 "$worker" "$hook" "$(airlock-env pid-of mediator)" "$(airlock-env pid-of fs)"
wait "$building" && fail "the build succeeded although its worker was killed"
eventually "the hook is gone" 10 has_ended "$hook"
equal "registered, and incomplete" "" "$(references "$out")"
kept=$(cat "$out")
contains "what is owed" "${kept##*/}" "$(ls "$debt")"
mkdir -p "$state/gcroots/test"
ln -s "$out" "$state/gcroots/test/out"
nix-collect-garbage >gc.log 2>&1 || fail "$(cat gc.log)"
[ -e "$kept" ] || fail "$kept is owed and was collected"
exec 9<&-
restart fs
restart mediator
[ ! -e "$debt" ] || fail "the debt was not settled at the next start"
equal "references after settling" "$kept" "$(references "$out")"
rm "$debts"/../test/out
store_is_clean

step "nothing is left in the end"
settled
airlock-env stop-mediator
airlock-env stop-fs
! grep -q airlock /proc/self/mounts || fail "mounts left: $(grep airlock /proc/self/mounts)"
[ -z "$(ls -A "$debts")" ] || fail "roots left: $(ls -R "$debts")"
! pgrep -f 'airlock-fs|airlockd' >/dev/null || fail "processes left: $(pgrep -af 'airlock-fs|airlockd')"
