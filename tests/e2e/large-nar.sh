#!/usr/bin/env bash
# 2 GiB out of the store and into it, through airlockd, whose memory does not grow with them.
. "$(dirname "$0")/lib.sh"

most=65536 # KiB
bytes=$((2 << 30))
client=$(nix-store --add "$AIRLOCK_WIRE_CLIENT")
memory() { awk '/^VmHWM:/ { print $2 }' "/proc/$(airlock-env pid-of mediator)/status"; }

step "a file of 2 GiB in the store, which takes no room"
large=/nix/store/00000000000000000000000000001111-large
truncate -s "$bytes" "$large"
chmod 444 "$large"
touch -d @1 "$large"
printf '%s\n\n0\n' "$large" | NIX_REMOTE='' nix-store --register-validity
archive=$(nix-store -q --size "$large")
hash=$("$AIRLOCK_WIRE_CLIENT" nar "$bytes" seed | sha256sum | cut -d ' ' -f 1)
sent=$(nix-store --print-fixed-path --recursive sha256 "$hash" sent)

outer moves "client = builtins.storePath $client; large = builtins.storePath $large; sent = \"$sent\";" <<SCRIPT
socket=/nix/var/nix/daemon-socket/socket
\$client fetch \$socket \$large $archive
\$client send \$socket \$sent $hash $bytes seed
[ "\$(stat -c %s \$sent)" = $bytes ] || die "what was sent is not there"
echo done >\$out
SCRIPT
before=$(memory)
equal "the build" done "$(cat "$(build moves)")"
grep -E '^(fetched|sent) ' moves.log
contains "the log" "fetched $archive" "$(cat moves.log)"
contains "the log" "sent $archive" "$(cat moves.log)"
after=$(memory)
[ "$after" -lt "$most" ] || fail "airlockd took $after KiB at its height, and may take $most"
echo "ok: airlockd took $after KiB at its height ($before before), and may take $most"
equal "what was sent" "sha256:$(nix-hash --type sha256 --to-base32 "$hash")" "$(nix-store -q --hash "$sent")"
