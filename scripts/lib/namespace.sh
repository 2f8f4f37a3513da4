# shellcheck shell=bash
# Running a command so that nothing of it outlives this script.

# run_in_namespace INIT...: runs INIT as the first process of its own mount and pid namespaces and returns its status.
# INT, TERM and HUP sent to this script reach INIT as TERM; what has not ended 5 s later is killed, and this script ends by
# the signal. However this script ends, kill -9 included, a chain of death signals ends the namespace with it.
run_in_namespace() {
  setpriv --pdeathsig KILL env --default-signal=INT,QUIT \
    unshare --mount --pid --fork --kill-child --mount-proc "$@" <&0 &
  namespace=$!
  local signal status=0
  for signal in INT TERM HUP; do
    # shellcheck disable=SC2064  # the signal of this turn of the loop
    trap "end_namespace $signal" "$signal"
  done
  wait "$namespace" || status=$?
  trap - INT TERM HUP
  return "$status"
}

# shellcheck disable=SC2317  # called by the traps
end_namespace() {
  trap '' INT TERM HUP
  local init
  init=$(cat "/proc/$namespace/task/$namespace/children" 2>/dev/null) || true
  # shellcheck disable=SC2086  # one number and a space
  kill -TERM $init 2>/dev/null || true
  for _ in {1..50}; do
    kill -0 "$namespace" 2>/dev/null || break
    sleep 0.1
  done
  # shellcheck disable=SC2086
  kill -KILL ${init:-"$namespace"} 2>/dev/null || true
  wait "$namespace" || true
  trap - "$1"
  kill -s "$1" $$
}
