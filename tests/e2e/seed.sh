#!/usr/bin/env bash
# The seed's example: nix-build inside a build, the result read at its path and named by the output.
. "$(dirname "$0")/lib.sh"

step "no experimental feature, no patch"
lacks "nix.conf" experimental-features "$(cat /etc/nix/nix.conf)"
lacks "nix.conf" recursive-nix "$(cat /etc/nix/nix.conf)"

outer seed <<'SCRIPT'
path=$(inner inside 'echo FOO >$out')
echo "read inside: $(cat $path)" >&2
[ "$(cat $path)" = FOO ] || die "the result reads $(cat $path)"
drv=$(instantiate realised 'echo BAR >$out')
realised=$(nix-store -r $drv)
[ "$(cat $realised)" = BAR ] || die "the realised result reads $(cat $realised)"
printf '%s\n' $path $realised >$out
SCRIPT
out=$(build seed)
cat seed.log
contains "build log" "read inside: FOO" "$(cat seed.log)"
equal "the inner result" FOO "$(cat "$(head -n 1 "$out")")"
equal "the realised result" BAR "$(cat "$(tail -n 1 "$out")")"
equal "references" "$(sort "$out")" "$(references "$out")"

step "<nixpkgs> by airlockNixPath, with NIX_PATH unset"
mkdir pkgs
echo '{ greeting = "from the search path"; }' >pkgs/default.nix
pkgs=$(nix-store --add pkgs)
outer search "airlockNixPath = [ \"nixpkgs=\${builtins.storePath $pkgs}\" ];" <<'SCRIPT'
[ -z "${NIX_PATH-}" ] || die "NIX_PATH is $NIX_PATH"
nix-instantiate --eval -E '(import <nixpkgs>).greeting' >$out
ls -l /nix/var/nix/profiles/per-user/root/channels >&2
SCRIPT
out=$(build search)
equal "evaluated" '"from the search path"' "$(cat "$out")"

step "an entry outside the closure is refused, with the remedy"
echo other >other
other=$(nix-store --add other)
outer stray "airlockNixPath = [ \"nixpkgs=$other\" ];" <<<'echo never >$out'
refuses "a search path entry outside the closure" build stray
contains "refusal" "not in the closure" "$output"

step "the ledger has it"
airlock ledger
sessions=$(query "select count(*) from sessions")
[ "$sessions" -ge 2 ] || fail "the ledger has $sessions sessions"
