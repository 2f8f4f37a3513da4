#!/usr/bin/env bash
# airlock-fetchd, and what it starts for a fetch, get at neither Nix's state nor airlock, which are there for others.
. "$(dirname "$0")/lib.sh"

# Debian's own python, since the caller's may be where only root gets to.
code=$(cat "$tests/reach.py")
# reached_by COMMAND... -- NAME...: by what COMMAND runs.
reached_by() {
  local command=() said
  while [ "$1" != -- ]; do command+=("$1"); shift; done
  said=$("${command[@]}" /usr/bin/python3 -c "$code" "${@:2}")
  [ "$(tail -n 1 <<<"$said")" = looked ] || return 1
  sed '$d' <<<"$said"
}
# As it is: its user, its mounts. Beside it: its user, in everybody's mounts.
within() { nsenter --mount="/proc/$1/ns/mnt" setpriv --reuid airlock-fetch --regid airlock-fetch --clear-groups --no-new-privs "${@:2}"; }
beside() { setpriv --reuid airlock-fetch --regid airlock-fetch --clear-groups --no-new-privs "$@"; }
status_of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }
lines() { printf '%s\n' "$@"; }

step "a fetch that does not end: a session is open, and a process fetches for it"
python3 -c '
import socket, time
server = socket.create_server(("127.0.0.1", 0))
open("port.new", "w").write(str(server.getsockname()[1]))
time.sleep(10000)' &
server=$!
eventually "the port is known" 20 test -s port.new
url=https://localhost:$(cat port.new)/tree.tar.gz
airlock-env stop-mediator
airlock-env stop-fetch
printf '%s\n' '[fetch]' 'allow-loopback = true' >/etc/airlock/airlock.toml
airlock-env start-mediator
airlock-env start-fetch
pid=$(airlock-env pid-of fetch)
hash=$(echo tree | sha256sum | cut -d' ' -f1)
echo "[{\"url\": \"$url\", \"hash\": \"sha256:$hash\", \"unpack\": true}]" >locks.json
outer hangs "airlockLocks = [ ./locks.json ];
  fetch = ''builtins.fetchTarball { url = \"$url\"; sha256 = \"$hash\"; }'';" <<'SCRIPT'
nix-instantiate --eval --read-write-mode -E "$fetch" >$out
SCRIPT
nix-build --no-out-link hangs.nix >hangs.log 2>&1 &
building=$!
eventually "a process fetches" 60 pgrep -P "$pid"
job=$(pgrep -P "$pid")

step "who they are"
for process in "$pid" "$job"; do
  equal "the user of $process" "$(lines {,,,}"$(id -u airlock-fetch)" | paste -s)" "$(status_of "$process" Uid)"
  equal "its groups" "" "$(status_of "$process" Groups | tr -d ' ')"
  for set in CapInh CapPrm CapEff CapAmb; do equal "$set" 0000000000000000 "$(status_of "$process" "$set")"; done
  equal "no_new_privs" 1 "$(status_of "$process" NoNewPrivs)"
done
equal "the mounts of the one that fetches" "$(readlink "/proc/$pid/ns/mnt")" "$(readlink "/proc/$job/ns/mnt")"

step "what they do not get at"
things=("$state" "$state/db" "$state/db/db.sqlite" "$state/gcroots" /run/airlock /run/airlock/sessions /run/airlock/fs
  "$ledger" "$(dirname "$ledger")" "$AIRLOCK_LOGS" "$AIRLOCK_LOGS/airlockd.log"
  "$state/daemon-socket/socket" /run/airlock/announce /run/airlockd/control /run/airlock-fetch/socket
  "/proc/1/root$state/daemon-socket/socket")
# By way of processes that see them.
for service in nix-daemon fs mediator; do
  of=/proc/$(airlock-env pid-of "$service")
  things+=("$of/root$state/daemon-socket/socket" "$of/root$state/db/db.sqlite" "$of/root/run/airlock/announce" "$of/fd")
done
equal "root, outside, gets at all of them" "$(lines "${things[@]}")" "$(reached_by env -- "${things[@]}")"
# Whatever other sockets there are at which somebody listens, the session's among them.
mapfile -t sockets < <(find "$state" /run /var/lib -type s)
mapfile -t sockets < <(reached_by env -- "${sockets[@]}")
contains "the open session's socket" "/run/airlock/fs/" "${sockets[*]}"
things+=("${sockets[@]}")
contains "their user, outside, gets at some" "$state/daemon-socket/socket" "$(reached_by beside -- "${things[@]}")"
for process in "$pid" "$job"; do
  seen=$(reached_by within "$process" -- "${things[@]}") || fail "process $process could not look"
  equal "process $process gets at" "" "$seen"
done

step "abstract sockets, which no mount hides: nothing here has one"
abstract() { # those that a process of this environment has
  local descriptor inode
  for descriptor in /proc/[0-9]*/fd/*; do
    inode=$(readlink "$descriptor" 2>/dev/null) || continue
    [[ $inode == socket:* ]] && printf '%s\n' "${inode//[!0-9]/}"
  done | sort -u | awk 'NR == FNR { ours[$1]; next } $7 in ours && $8 ~ /^@/ { print $8 }' - /proc/net/unix
}
equal "abstract sockets" "" "$(abstract)"
python3 -c '
import socket, time
server = socket.socket(socket.AF_UNIX)
server.bind("\0airlock-test-seclusion")
server.listen()
time.sleep(10000)' &
other=$!
found() { [ "$(abstract)" = @airlock-test-seclusion ]; }
eventually "one that is there is found" 20 found
equal "and they would get at it" @airlock-test-seclusion "$(reached_by within "$job" -- @airlock-test-seclusion)"
kill "$other"

step "what they cannot undo"
for folder in "$state" /run "$(dirname "$ledger")"; do
  refuses "to take the cover off $folder" within "$job" unshare -Urm umount "$folder"
  refuses "to write in $folder" within "$job" touch "$folder/new"
done
refuses "to go back to everybody's mounts" within "$job" nsenter --mount=/proc/1/ns/mnt true
equal "nothing was written" "" "$(find "$state" /run "$(dirname "$ledger")" -name new)"

kill "$building"
wait "$building" || true
gone() { ! pgrep -P "$pid" >/dev/null; }
eventually "nobody waits for it, and it ends" 60 gone
equal "nothing is left of it" "" "$(ls /var/cache/airlock-fetch)"
kill "$server"
settled
store_is_clean
