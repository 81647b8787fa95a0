#!/usr/bin/env bash
# What goes wrong on a real machine, done to a real cluster on a real Docker: each fault, and that all is well after it.
# Runs in a network namespace with an engine of its own, so that this machine's Docker and rules are left alone.
# Usage: tests/faults/run.sh DIRECTORY-OF-THE-BINARIES [SECONDS]; with SECONDS, faults in random order for that long
# (FAULTS_SEED chooses the order).
set -euo pipefail
if [ -z "${FAULTS_INSIDE:-}" ]; then
  FAULTS_INSIDE=1 exec unshare --net --mount "$0" "$@"
fi
bin=$(realpath "$1")
seconds=${2:-0}
here=$(realpath "$(dirname "$0")")
. "$here/../checks.sh"
work=$(mktemp -d /var/tmp/faults.XXXXXX)
export DOCKER_HOST=unix://$work/docker.sock OPENSHIFT_DOCKER=unix://$work/docker.sock
export OPENSHIFT_DATA_DIR=$work/data PATH=$work/bin:$PATH KUBECONFIG=$work/data/admin.kubeconfig
mkdir -p "$work/bin" "$work/data" "$work/engine" "$work/exec"
ln -s "$bin/openshift" "$work/bin/openshift"
ln -s "$bin/openshift" "$work/bin/osc"
engine=
server=
cage=

finish() {
  status=$?
  trap - EXIT
  set +e
  [ $status -eq 0 ] || { echo "--- server log"; tail -30 "$work/server.log"; echo "--- engine log"; tail -5 "$work/engine.log"; }
  [ -z "$server" ] || { kill -CONT "$server"; kill "$server"; wait "$server"; } 2>/dev/null
  if [ -n "$engine" ]; then
    kill -CONT "$engine" 2>/dev/null
    docker ps -aq | xargs -r docker rm -f >/dev/null 2>&1
    kill "$engine" 2>/dev/null
    wait "$engine" 2>/dev/null
  fi
  [ -z "$cage" ] || rmdir "$cage" 2>/dev/null
  awk '{print $2}' /proc/mounts | grep "^$work/" | sort -r | xargs -r umount -l 2>/dev/null
  rm -rf "$work"
  exit $status
}
trap finish EXIT

start_engine() {
  rm -f "$work/docker.pid" "$work/exec/containerd/containerd.pid"
  dockerd -H "$DOCKER_HOST" --data-root "$work/engine" --exec-root "$work/exec" -p "$work/docker.pid" >>"$work/engine.log" 2>&1 &
  engine=$!
  until_true 30 "the engine's start" docker version
}
start_server() {
  : >"$work/announced"
  ${cage:+caged} openshift start --hostname=master "$@" >>"$work/announced" 2>>"$work/server.log" &
  server=$!
  until_true 30 "the announcement of readiness" grep -q '^ready after' "$work/announced"
}
running() { docker ps -q --filter "name=k8s_hello-openshift\." | wc -l; }
replicas() { [ "$(running)" = "$1" ] && [ "$(ready_pods)" = "$1" ]; }
ready_pods() { osc get pods -o 'jsonpath={.items[*].status.containerStatuses[0].ready}' | tr ' ' '\n' | grep -c true || true; }
address() { osc get services hello-openshift -o 'jsonpath={.spec.clusterIP}'; }
serves() { curl -sf --max-time 2 "http://$portal:27017" | grep -q 'Hello OpenShift'; }
works() { replicas "$want" && serves; }
note() { osc get configmaps "$1"; }
write() { printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"}}' "$1" | osc create -f - 2>&1; }
well() { until_true 90 "the cluster well again after: $1" works; ok "$1"; }
one_of() { docker ps -q --filter "name=$1" | shuf -n1; }

# --- the faults
containers_killed() {
  docker kill "$(one_of 'k8s_hello-openshift\.')" >/dev/null
  well "a container killed by hand runs again"
}
containers_removed() {
  docker rm -f "$(one_of 'k8s_hello-openshift\.')" "$(one_of k8s_POD)" >/dev/null
  well "containers removed by hand, a pod's network among them, are made again"
}
rules_removed() {
  local chain
  for chain in $(iptables -t nat -S | sed -n 's/^-N \(PH[^ ]*\|KUBE[^ ]*\|.*SERVICES\)$/\1/p' | shuf -n2); do iptables -t nat -F "$chain"; done
  iptables -t nat -F PREROUTING
  iptables -t nat -F OUTPUT
  # Docker's own come back with the engine only; they are not what is tested.
  well "service rules removed by hand are written again"
}
engine_hangs() {
  kill -STOP "$engine"
  write "hang$RANDOM$RANDOM" >/dev/null || fail "the API serves while the engine hangs"
  osc get pods >/dev/null || fail "the API reads while the engine hangs"
  want=$((want % 3 + 1))
  osc resize --replicas="$want" replicationcontrollers hello-controller >/dev/null
  sleep 2
  kill -CONT "$engine"
  well "what was asked for while the engine hung is done after it"
}
engine_killed() {
  kill -9 "$engine"
  wait "$engine" 2>/dev/null || true
  # Its containerd dies with it, as when a machine's engine is killed as a whole.
  if [ -s "$work/exec/containerd/containerd.pid" ]; then kill -9 "$(cat "$work/exec/containerd/containerd.pid")" 2>/dev/null || true; fi
  osc get pods >/dev/null || fail "the API reads without an engine"
  start_engine
  well "an engine that was killed and started again runs every pod again"
}
server_killed() {
  local before
  before=$(docker ps -q --no-trunc | sort)
  (for n in $(seq 200); do write "load$1-$n" | grep -q "^load$1-$n" && echo "load$1-$n" >>"$work/acknowledged" || exit 0; done) &
  local load=$!
  sleep 0.5
  kill -9 "$server"
  wait "$server" 2>/dev/null || true
  wait "$load" || true
  serves || fail "the service serves while the server is down"
  start_server
  while read -r name; do note "$name" >/dev/null || fail "$name was acknowledged and is lost"; done <"$work/acknowledged"
  : >"$work/acknowledged"
  until_true 30 "the pods ready" works
  [ "$(docker ps -q --no-trunc | sort)" = "$before" ] || fail "containers go on as they were"
  ok "kill -9 under load loses no acknowledged write, touches no container and stops no traffic"
}
disk_full() {
  dd if=/dev/zero of="$work/data/filler" bs=64k >/dev/null 2>&1 || true
  local n refused=
  for n in $(seq 60); do
    head -c 700000 /dev/zero | tr '\0' x >"$work/large"
    printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"large%s"},"data":{"x":"%s"}}' "$n" "$(cat "$work/large")" | osc create -f - >/dev/null 2>"$work/refusal" || { refused=yes; break; }
  done
  [ -n "$refused" ] || fail "a full disk refuses writes"
  osc get pods >/dev/null || fail "a full disk leaves reading"
  rm -f "$work/data/filler"
  until_true 30 "writes after there is room again" write "room$RANDOM$RANDOM"
  for n in $(seq 60); do osc delete configmaps "large$n" >/dev/null 2>&1 || break; done
  well "a full disk refuses writes with words ($(head -c 60 "$work/refusal")…), and recovers"
}
descriptors_exhausted() {
  local open limit held=()
  limit=$(prlimit --pid "$server" --nofile -o SOFT --noheadings | tr -d ' ')
  open=$(ls "/proc/$server/fd" | wc -l)
  prlimit --pid "$server" --nofile=$((open + 20)):
  for _ in $(seq 60); do
    exec {held_fd}<>/dev/tcp/127.0.0.1/8443 || break
    held+=("$held_fd")
  done
  sleep 1
  kill -0 "$server" || fail "the server lives without descriptors"
  for fd in "${held[@]}"; do exec {fd}>&-; done
  prlimit --pid "$server" --nofile="$limit":
  until_true 20 "answers after descriptors are free again" osc get pods
  well "a server without descriptors survives and serves again"
}
# A cage is a control group of its own with this many MiB; version 1 or 2 of the kernel's groups.
make_cage() {
  local name=faults.$$ max swap
  if [ -d /sys/fs/cgroup/memory ]; then
    cage=/sys/fs/cgroup/memory/$name max=memory.limit_in_bytes swap=memory.memsw.limit_in_bytes
  elif grep -qw memory /sys/fs/cgroup/cgroup.subtree_control 2>/dev/null; then
    cage=/sys/fs/cgroup/$name max=memory.max swap=memory.swap.max
  else
    return 1
  fi
  mkdir -p "$cage" && echo $(($1 << 20)) >"$cage/$max" || { cage=; return 1; }
  # Without this a machine with swap would only become slow.
  { case $swap in *memsw*) echo $(($1 << 20)) ;; *) echo 0 ;; esac >"$cage/$swap"; } 2>/dev/null || true
}
drop_cage() { until_true 20 "the control group being empty" rmdir "$cage"; cage=; }
caged() { echo "$BASHPID" >"$cage/cgroup.procs"; exec "$@"; }
large() { printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"},"data":{"x":"%s"}}' "$1" "$(cat "$work/large")" | osc create -f - 2>"$work/refusal"; }
end_server() { kill "$server"; wait "$server" 2>/dev/null || true; }
memory_exhausted() {
  local before n name own
  make_cage 256 || { echo "skipped: this machine has no control groups for memory"; return; }
  before=$(docker ps -q --no-trunc | sort)
  head -c 700000 /dev/zero | tr '\0' x >"$work/large"
  end_server
  start_server --store-max=20Mi
  for n in $(seq 60); do large "large$n" >/dev/null || break; done
  grep -q 'database space exceeded' "$work/refusal" || fail "endless creates are refused in words: $(head -c 200 "$work/refusal")"
  for n in $(seq 20); do osc get configmaps -o json >/dev/null & done
  wait $(jobs -p | grep -vx -e "$engine" -e "$server") 2>/dev/null || true
  kill -0 "$server" || fail "a server whose objects are bounded lives in 256 MiB"
  for n in $(seq 60); do osc delete configmaps "large$n" >/dev/null 2>&1 || break; done
  until_true 20 "room after deletions" write "room$RANDOM$RANDOM"
  end_server
  drop_cage
  ok "endless creates are refused before memory ends, and deletions make room"

  # Little more than it takes by itself, a history of the objects above among it: the kernel kills it when more come.
  start_server
  own=$(awk '/^VmHWM:/ { print int($2 / 1024) }' "/proc/$server/status")
  end_server
  make_cage $((own + 16))
  start_server
  : >"$work/acknowledged"
  for n in $(seq 120); do large "oom$1-$n" | grep -q "^oom" && echo "oom$1-$n" >>"$work/acknowledged" || break; done
  until_true 20 "the kernel's end of the server" eval '! kill -0 "$server"'
  wait "$server" 2>/dev/null || true
  serves || fail "the service serves while the server is down"
  drop_cage
  start_server
  while read -r name; do note "$name" >/dev/null || fail "$name was acknowledged and is lost"; done <"$work/acknowledged"
  until_true 60 "the pods ready" works
  [ "$(docker ps -q --no-trunc | sort)" = "$before" ] || fail "containers go on as they were"
  n=$(wc -l <"$work/acknowledged")
  while read -r name; do osc delete configmaps "$name" >/dev/null || true; done <"$work/acknowledged"
  : >"$work/acknowledged"
  ok "a server that is killed for want of memory comes back with all $n objects, and no container notices"
}
server_stopped() {
  kill -STOP "$server"
  sleep 3
  kill -CONT "$server"
  well "a server that was stopped for a while goes on"
}
stalled_watchers() {
  local watchers=() n
  for n in $(seq 20); do
    curl -sk --cert "$work/admin.pem" "https://127.0.0.1:8443/api/v1/pods?watch=true" >/dev/null &
    watchers+=($!)
  done
  sleep 0.5
  kill -STOP "${watchers[@]}"
  for n in $(seq 40); do write "noise$1-$n" >/dev/null; done
  docker kill "$(one_of 'k8s_hello-openshift\.')" >/dev/null
  until_true 90 "pods beside stalled watchers" works
  kill -KILL "${watchers[@]}"
  wait "${watchers[@]}" 2>/dev/null || true
  ok "stalled watchers hold nobody up"
}

# --- the cluster
ip link set lo up
ip link add eth0 type bridge
ip addr add 10.9.1.2/24 dev eth0
ip link set eth0 up
ip route add default via 10.9.1.1
sysctl -qw net.ipv4.ip_forward=1
# A small disk of its own, which can be filled.
mount -t tmpfs -o size=160m tmpfs "$work/data"
start_engine
start_server
sed -n 's/^ *client-\(certificate\|key\)-data: //p' "$KUBECONFIG" | while read -r data; do echo "$data" | base64 -d; done >"$work/admin.pem"
osc create -f "$here/../../examples/hello-openshift/hello-controller.json" >/dev/null
osc create -f "$here/../../examples/hello-openshift/hello-service.json" >/dev/null
want=2
osc resize --replicas=2 replicationcontrollers hello-controller >/dev/null
portal=$(address)
: >"$work/acknowledged"
until_true 60 "the cluster at work" works
ok "two pods serve"

faults=(containers_killed containers_removed server_killed engine_hangs engine_killed rules_removed disk_full descriptors_exhausted memory_exhausted server_stopped stalled_watchers)
round=0
if [ "$seconds" -eq 0 ]; then
  for fault in "${faults[@]}"; do round=$((round + 1)); $fault $round; done
else
  RANDOM=${FAULTS_SEED:-$$}
  end=$((SECONDS + seconds))
  echo "again: FAULTS_SEED=${FAULTS_SEED:-$$} $0 $1 $seconds"
  while [ $SECONDS -lt $end ]; do round=$((round + 1)); ${faults[RANDOM % ${#faults[@]}]} $round; done
fi
echo "$passed passed, 0 failed"
