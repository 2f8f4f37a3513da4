#!/usr/bin/env bash
# 200 connections of one build at once, which is more than are served at a time: the others wait, nobody is turned away,
# and another build does not notice.
. "$(dirname "$0")/lib.sh"

limit=64 # Limits::connections
client=$(nix-store --add "$AIRLOCK_WIRE_CLIENT")
chmod 755 "$work"
mkdir -m 1777 shared

outer crowd "client = builtins.storePath $client;" <<SCRIPT
\$client crowd /nix/var/nix/daemon-socket/socket \$client /shared 200 $limit
echo served >\$out
SCRIPT
outer other <<'SCRIPT'
inner beside 'echo beside >$out' >$out
SCRIPT

step "200 connections, none of which ends"
nix-build --no-out-link crowd.nix --option extra-sandbox-paths "/shared=$work/shared" >crowd.out 2>crowd.log &
crowd=$!
eventually "$limit of them are answered" 60 [ -e shared/full ]

step "another build asks meanwhile"
timeout 60 nix-build --no-out-link other.nix >other.out 2>other.log || fail "the other build was not served: $(cat other.log)"
contains "the other's result" beside "$(cat "$(cat other.out)")"
kill -0 "$crowd" || fail "the crowd has ended: $(cat crowd.log)"

step "they are let go, and the rest gets its turn"
touch shared/release
wait "$crowd" || fail "the crowd was not served: $(cat crowd.log)"
contains "the log" "200 of 200 were served" "$(cat crowd.log)"
equal "the build" served "$(cat "$(cat crowd.out)")"
equal "connections in the ledger" 200 "$(query "select count(distinct connection) from operations join sessions on sessions.id = session where derivation like '%-crowd.drv'")"
