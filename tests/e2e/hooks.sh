#!/usr/bin/env bash
# With airlock down: builds that do not ask are untouched, one that asks is told what to start. The
# administrator's own hooks run, after the references were registered.
. "$(dirname "$0")/lib.sh"

step "chained hooks"
cat >pre <<'SH'
#!/bin/sh
echo "$@" >>/run/pre-ran
SH
cat >post <<'SH'
#!/bin/sh
export PATH=/usr/bin:/bin:$PATH
{ echo "DRV_PATH=$DRV_PATH"; nix-store -q --references $(nix-store -q --outputs "$DRV_PATH"); } >>/run/post-ran 2>&1
SH
chmod +x pre post
printf '[hooks]\npre-build = "%s"\npost-build = "%s"\n' "$PWD/pre" "$PWD/post" >/etc/airlock/airlock.toml
outer chained <<'SCRIPT'
inner leaf 'echo leaf >$out' >$out
SCRIPT
out=$(build chained)
contains "the user's pre-build hook" chained.drv "$(cat /run/pre-ran)"
contains "what the user's post-build hook saw registered" "$(cat "$out")" "$(cat /run/post-ran)"
: >/etc/airlock/airlock.toml

step "airlock down"
airlock-env stop-mediator
outer asks <<<'echo never >$out'
refuses "a build that asks, without airlockd" build asks
contains "message" "airlockd" "$output"
contains "remedy" "start" "$output"
airlock-env stop-fs
refuses "a build that asks, without airlock-fs" build asks
contains "message" "airlock-fs is not running" "$output"
contains "remedy" "start" "$output"
cat >plain.nix <<'NIX'
let shell = builtins.storePath (builtins.getEnv "AIRLOCK_SHELL");
in derivation { name = "plain"; system = builtins.currentSystem; builder = "${shell}/bin/sh"; args = [ "-c" "echo plain >$out" ]; }
NIX
equal "a build that does not ask" plain "$(cat "$(build plain)")"
refuses "airlock status" airlock status
echo "$output"

step "a derivation that cannot have a session"
airlock-env start-fs
airlock-env start-mediator
airlock status --wait 20
outer nochroot '__noChroot = true;' <<<'echo never >$out'
refuses "a build outside the sandbox" build nochroot --option sandbox relaxed
