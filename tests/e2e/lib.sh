# shellcheck shell=bash
# For end-to-end tests, which run inside the embedded environment: . "$(dirname "$0")/lib.sh"
# A test is a list of steps; the first thing that does not hold ends it and shows the services' logs. The working folder
# is an empty one of its own.
set -euo pipefail

tests=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
work=$(mktemp -d)
state=/nix/var/nix
debts=$state/gcroots/airlock
ledger=/var/lib/airlock/ledger.sqlite
output='' # what the last command that `refuses` ran has said
export tests work state debts ledger output
cd -- "$work"

step() { printf '\n== %s\n' "$*"; }

skip() {
  printf 'SKIP: %s\n' "$*"
  exit 77
}

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  tail -n 40 "$AIRLOCK_LOGS"/*.log >&2
  exit 1
}

# equal WHAT EXPECTED ACTUAL
equal() {
  [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
  printf 'ok: %s: %s\n' "$1" "$(tr '\n' ' ' <<<"$3")"
}

# contains WHAT PART WHOLE, lacks WHAT PART WHOLE
contains() { [[ $3 == *"$2"* ]] || fail "$1: '$2' is not in: $3"; }
lacks() { [[ $3 != *"$2"* ]] || fail "$1: '$2' is in: $3"; }

# refuses WHAT COMMAND...: COMMAND has to fail; what it said is then in $output.
refuses() {
  local what=$1
  shift
  if output=$("$@" 2>&1); then fail "$what was not refused: $output"; fi
  printf 'ok: refused: %s\n' "$what"
}

# As an init system restarts it, with its workers: one that missed that its client is gone would keep a build user.
restart_nix_daemon() {
  local workers worker
  workers=$(pgrep -P "$(airlock-env pid-of nix-daemon)" || true)
  airlock-env stop-nix-daemon
  for worker in $workers; do
    kill -KILL "$worker" 2>/dev/null || true
    eventually "worker $worker of nix-daemon ends" 20 is_gone "$worker"
  done
  airlock-env start-nix-daemon
}
is_gone() { ! kill -0 "$1" 2>/dev/null; }

# build_users NUMBER: that many build users are left; this environment's own group file.
build_users() {
  sed "s/^nixbld:x:30000:.*/nixbld:x:30000:$(seq -s, -f nixbld%g 1 "$1")/" /etc/group >group.new
  cat group.new >/etc/group
  rm group.new
  restart_nix_daemon
}

# eventually WHAT SECONDS COMMAND...: until COMMAND succeeds.
eventually() {
  local what=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt "$deadline" ] || fail "waited in vain: $what"
    sleep 0.05
  done
}

# static_mode: from here on one sandbox path serves all builds, and no pre-build hook runs.
static_mode() {
  sed -i -e '/^pre-build-hook/d' /etc/nix/nix.conf
  echo 'extra-sandbox-paths = /nix/var=/run/airlock/fs/var' >>/etc/nix/nix.conf
  airlock-env stop-nix-daemon
  airlock-env start-nix-daemon
}

# outer NAME [ATTRIBUTES] <SCRIPT: writes NAME.nix, a derivation with airlock that runs prelude.sh and SCRIPT with Nix and
# the applets on PATH. ATTRIBUTES are in Nix and may replace any other.
outer() {
  cat "$tests/prelude.sh" - >"$1.sh"
  cat >"$1.nix" <<NIX
derivation (rec {
  name = "$1";
  system = builtins.currentSystem;
  shell = builtins.storePath "$AIRLOCK_SHELL";
  nix = builtins.storePath "$AIRLOCK_NIX";
  innerNix = $tests/inner.nix;
  builder = "\${shell}/bin/sh";
  args = [ "-eu" ./$1.sh ];
  PATH = "\${nix}/bin:\${shell}/bin";
  requiredSystemFeatures = [ "airlock" ];
} // { ${2-} })
NIX
}

# build NAME [OPTION]...: builds NAME.nix and prints the output path. The log is in NAME.log, and shown on failure.
build() {
  local name=$1
  shift
  nix-build --no-out-link "$name.nix" "$@" 2>"$name.log" || {
    cat "$name.log" >&2
    return 1
  }
}

# Nothing is owed; what is kept of amendments goes with the builds that may have missed them.
settled() {
  local owed
  owed=$(find "$debts" -mindepth 1 -maxdepth 1 ! -name recent)
  [ -z "$owed" ] || fail "debts are left: $owed"
  nothing_kept() { airlock settle && [ ! -e "$debts/recent" ]; }
  eventually "no record is left in $debts/recent" 20 nothing_kept
  echo 'ok: nothing is owed'
}

references() { nix-store --query --references "$1" | sort; }
closure() { nix-store --query --requisites "$1"; }
nix_command() { nix --extra-experimental-features nix-command "$@"; }
query() { sqlite3 "$ledger" "$1"; }
# rule_that_ended DERIVATION: of the operation that ended its last session.
rule_that_ended() {
  query "select distinct rule from operations where verdict = 'condemn' and session =
    (select max(id) from sessions where derivation = '$(basename "$1")')"
}

store_is_clean() {
  nix-store --verify --check-contents >"$work/verify.log" 2>&1 || fail "the store does not verify: $(cat "$work/verify.log")"
  if grep -iE 'error|missing|modified|disappeared' "$work/verify.log"; then fail "the store is not clean"; fi
  echo 'ok: the store verifies'
}
