#!/usr/bin/env bash
# Two builds at once see only their own session; what both want is built once.
. "$(dirname "$0")/lib.sh"

mkdir "$work/count"
for side in left right; do
  other=$([ $side = left ] && echo right || echo left)
  outer $side <<SCRIPT
echo "only of $side" >mine
mine=\$(nix-store --add mine)
shared=\$(inner shared 'echo shared-is-built; sleep 3; echo "built at \$(date +%s%N)" >\$out')
own=\$(inner own-$side 'echo $side >\$out')
grep -q $side /nix/var/airlock/session.json || die "session.json is not mine: \$(cat /nix/var/airlock/session.json)"
echo "\$shared \$(cat \$shared)" >\$out
nix --extra-experimental-features nix-command path-info --all >&2
SCRIPT
done
cat >pair.nix <<'NIX'
{ left = import ./left.nix; right = import ./right.nix; }
NIX
nix-build --no-out-link pair.nix -j 4 >out 2>log || fail "$(cat log)"
cat out
left=$(head -n 1 out) right=$(tail -n 1 out)
equal "the shared result" "$(cat "$left")" "$(cat "$right")"
equal "sessions at once" 2 "$(query 'select count(*) from sessions')"
overlap=$(query "select count(*) from operations a join operations b on a.session < b.session and a.operation = 'BuildPaths' and b.operation = 'BuildPaths' and abs(a.at - b.at) < 3000000")
[ "$overlap" -ge 1 ] || fail "the two sessions did not overlap"
for side in left right; do
  other=$([ $side = left ] && echo right || echo left)
  seen=$(query "select group_concat(path, ' ') from grants join sessions on sessions.id = session where derivation like '%-$side.drv'")
  contains "granted to $side" "own-$side" "$seen"
  lacks "granted to $side" "own-$other" "$seen"
done
# Its builder says so once; who came second waited for it.
equal "times the shared derivation was built" 1 "$(grep -c 'shared-is-built$' log)"
