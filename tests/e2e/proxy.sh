#!/usr/bin/env bash
# airlock proxy: a mediator on a plain socket, without root's help. In observe clients see the real daemon; in strict they
# see the closure of the roots, and what they add and build.
. "$(dirname "$0")/lib.sh"

daemon=$state/daemon-socket/socket
# proxy PROFILE [OPTION]...: starts one at PROFILE.sock, which $NIX_REMOTE then names. $proxy is its process.
proxy() {
  local profile=$1
  shift
  "$AIRLOCK_BIN/airlock" proxy --listen "$work/$profile.sock" --upstream "$daemon" --profile "$profile" \
    --record "$work/$profile.json" --verbose "$@" 2>"$profile.err" &
  proxy=$!
  eventually "the proxy serves" 10 grep -q serving "$profile.err"
  export NIX_REMOTE=unix://$work/$profile.sock
}
end_proxy() { # end_proxy STATUS
  local status=0
  kill -TERM "$proxy" 2>/dev/null || true
  wait "$proxy" || status=$?
  equal "exit status of the proxy" "$1" "$status"
  export NIX_REMOTE=daemon
}

cat >hello.nix <<'NIX'
{ text }: let shell = builtins.storePath (builtins.getEnv "AIRLOCK_SHELL"); in derivation {
  name = "hello"; system = builtins.currentSystem; builder = "${shell}/bin/sh";
  args = [ "-c" "echo said-while-building; echo ${text} >$out" ];
}
NIX
echo "of the host" >secret
hidden=$(nix-store --add secret)
hello() { nix-build hello.nix --no-out-link --argstr text "$1" 2>"$1.log"; }

step "observe: what the daemon allows, and what strict would have said"
proxy observe
out=$(hello observed)
equal "built" observed "$(cat "$out")"
contains "the log" said-while-building "$(cat observed.log)"
equal "a path of the host" "$(NIX_REMOTE=daemon nix-store -q --hash "$hidden")" "$(nix-store -q --hash "$hidden")"
equal "its archive" "$(NIX_REMOTE=daemon nix-store --dump "$hidden" | sha256sum)" "$(nix-store --dump "$hidden" | sha256sum)"
equal "deriver and all" "$(NIX_REMOTE=daemon nix-store -q --deriver "$out")" "$(nix-store -q --deriver "$out")"
nix-store --gc --print-roots >roots 2>&1
contains "roots" gcroots/airlock-env/nix "$(cat roots)"
nix-store --verify || fail "verify"
equal "who the client is, by the daemon" "$(NIX_REMOTE=daemon nix_command store ping 2>&1 | sed 's/unix:[^ ]*\|daemon//')" \
  "$(nix_command store ping 2>&1 | sed 's/unix:[^ ]*\|daemon//')"
AIRLOCK_SOCKET=$work/observe.sock "$AIRLOCK_RAW_CLIENT" question 38 "$hidden" >/dev/null || fail "NarFromPath"
nix-store --delete "$out" >/dev/null
[ ! -e "$out" ] || fail "it was not deleted"
for verdict in '"operation":"NarFromPath".*"rule":"path-visible".*"succeeded":true,"verdict":"deny"' \
  '"operation":"CollectGarbage".*"rule":"never".*"succeeded":true,"verdict":"deny"'; do
  grep -q "$verdict" observe.json || fail "not recorded: $verdict in $(cat observe.json)"
done
end_proxy 0
[ ! -e observe.sock ] || fail "the socket is left"

step "strict: the closure of the roots, and what was added and built"
proxy strict --root "$AIRLOCK_SHELL"
out=$(hello strict)
equal "built" strict "$(cat "$out")"
added=$(nix-store --add secret.copy 2>/dev/null) || { cp secret secret.copy && added=$(nix-store --add secret.copy); }
nix-store -q --hash "$added" >/dev/null
refuses "a path of the host" nix-store -q --hash "$hidden"
refuses "its archive" env AIRLOCK_SOCKET="$work/strict.sock" "$AIRLOCK_RAW_CLIENT" question 38 "$hidden"
refuses "the roots" nix-store --gc --print-roots
contains "the refusal" never "$output"
equal "deriver" unknown-deriver "$(nix-store -q --deriver "$out")"
lacks "all that is there" "$hidden" "$(nix_command path-info --all)"
contains "all that is there" "$AIRLOCK_SHELL" "$(nix_command path-info --all)"
nix-store --option sandbox false -q --hash "$added" 2>warned >/dev/null
contains "the warning" "airlock ignores sandbox (restricted-settings)" "$(cat warned)"
end_proxy 0

step "strict: what a build must not learn ends it, with exit code 1"
proxy strict --root "$AIRLOCK_SHELL"
refuses "a build that times out" nix-build hello.nix --no-out-link --argstr text 'x; sleep 20' --timeout 1
status=0
wait "$proxy" || status=$?
equal "exit status of the proxy" 1 "$status"
contains "why" "for a reason of this machine" "$(cat strict.err)"
export NIX_REMOTE=daemon

step "bad input"
refuses "a root that is no store path" "$AIRLOCK_BIN/airlock" proxy --listen x.sock --upstream "$daemon" --root /etc/passwd
refuses "a root that is not valid" "$AIRLOCK_BIN/airlock" proxy --listen x.sock --upstream "$daemon" --root "$hidden-not"
refuses "no daemon" timeout 10 "$AIRLOCK_BIN/airlock" proxy --listen x.sock --upstream "$work/none" --root "$AIRLOCK_SHELL"
contains "the reason" "$work/none" "$output"
refuses "an unknown profile" "$AIRLOCK_BIN/airlock" proxy --listen x.sock --profile lax
echo keep >file.sock
refuses "a file in the way" "$AIRLOCK_BIN/airlock" proxy --listen file.sock --upstream "$daemon"
equal "the file" keep "$(cat file.sock)"
long=$work/$(printf 'long%.0s' {1..40})
mkdir "$long"
"$AIRLOCK_BIN/airlock" proxy --listen "$long/socket" --upstream "$daemon" --profile observe 2>long.err &
proxy=$!
eventually "a socket with a long name" 10 grep -q serving long.err
refuses "a second one at the same socket" "$AIRLOCK_BIN/airlock" proxy --listen "$long/socket" --upstream "$daemon"
contains "the reason" "listens" "$output"
end_proxy 0
