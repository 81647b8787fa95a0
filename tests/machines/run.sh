#!/usr/bin/env bash
# A cluster of two machines, made of this one: two network namespaces on a switch (a bridge in a third), each with an engine
# of its own. This machine's Docker, rules and routes are left alone.
# Usage: tests/machines/run.sh DIRECTORY-OF-THE-BINARIES
set -euo pipefail
if [ -z "${MACHINES_INSIDE:-}" ]; then
  # Mounts of the namespaces and of the engines end with this one.
  MACHINES_INSIDE=1 exec unshare --mount "$0" "$@"
fi
bin=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
. "$here/../checks.sh"
work=$(mktemp -d /var/tmp/machines.XXXXXX)
tag=m$$
export PATH=$work/bin:$PATH KUBECONFIG=$work/a/data/admin.kubeconfig
mkdir -p "$work/bin" "$work"/{a,b}/{engine,exec,data}
ln -s "$bin/openshift" "$work/bin/openshift"
ln -s "$bin/openshift" "$work/bin/osc"
kubectl=$(command -v kubectl || echo osc)
image=pilothouse-test/tools:1
declare -A engine=() agent=() address=([a]=10.99.0.1 [b]=10.99.0.2) pods=([a]=172.18.1.1/24 [b]=172.18.2.1/24)

finish() {
  status=$?
  trap - EXIT
  set +e
  [ $status -eq 0 ] || for m in a b; do
    echo "--- $m"
    tail -30 "$work/$m/agent.log"
    on $m ip route
    on $m iptables-save | grep PODNET
  done
  for m in "${!agent[@]}"; do kill "${agent[$m]}"; wait "${agent[$m]}"; done 2>/dev/null
  for m in "${!engine[@]}"; do
    DOCKER_HOST=unix://$work/$m/docker.sock docker ps -aq | DOCKER_HOST=unix://$work/$m/docker.sock xargs -r docker rm -f >/dev/null 2>&1
    kill "${engine[$m]}" 2>/dev/null
    wait "${engine[$m]}" 2>/dev/null
  done
  for name in a b switch; do ip netns delete "$tag-$name" 2>/dev/null; done
  awk '{print $2}' /proc/mounts | grep "^$work/" | sort -r | xargs -r umount -l 2>/dev/null
  rm -rf "$work"
  exit $status
}
trap finish EXIT

# on MACHINE COMMAND…: not `ip netns exec`, which hides the control groups from engines.
on() { local m=$1; shift; nsenter --net="/run/netns/$tag-$m" "$@"; }
# The same in place of this shell, for what runs in the background: its process is the program's own.
launch() { local m=$1; shift; exec nsenter --net="/run/netns/$tag-$m" "$@"; }
k() { on a "$kubectl" "$@"; }
field() { on a osc get "$@"; }

wire() {
  ip netns add "$tag-switch"
  on switch ip link add sw type bridge
  on switch ip link set sw up
  for m in a b; do
    ip netns add "$tag-$m"
    on switch ip link add "to-$m" type veth peer name eth0 netns "/run/netns/$tag-$m"
    on switch ip link set "to-$m" master sw up
    on "$m" ip link set lo up
    on "$m" ip address add "${address[$m]}/24" dev eth0
    on "$m" ip link set eth0 up
    # Service addresses must lead somewhere for the rules to catch them.
    on "$m" ip route add default via 10.99.0.254
    on "$m" sysctl -qw net.ipv4.ip_forward=1
  done
}
start_engine() {
  local m=$1
  launch "$m" dockerd -H "unix://$work/$m/docker.sock" --data-root "$work/$m/engine" --exec-root "$work/$m/exec" -p "$work/$m/docker.pid" \
    --bip="${pods[$m]}" >"$work/$m/engine.log" 2>&1 &
  engine[$m]=$!
}
start_server() {
  : >"$work/announced"
  launch a openshift start --hostname=a --listen=https://10.99.0.1:8443 --docker="unix://$work/a/docker.sock" --data-dir="$work/a/data" \
    --node-grace=15s >"$work/announced" 2>>"$work/a/agent.log" &
  agent[a]=$!
  until_true 30 "the announcement of readiness" grep -q '^ready after' "$work/announced"
}
# Without arguments: as a machine that has joined before.
start_node() {
  launch b openshift start node --hostname=b --docker="unix://$work/b/docker.sock" --data-dir="$work/b/data" "$@" >>"$work/b/agent.log" 2>&1 &
  agent[b]=$!
}
stop() { kill "${2:--TERM}" "${agent[$1]}"; wait "${agent[$1]}" 2>/dev/null || true; unset "agent[$1]"; }
condition() { [ "$(field nodes "$1" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = "$2" ]; }
on_node() { field pods -l "app=$1" -o 'jsonpath={range .items[*]}{.spec.nodeName} {.status.containerStatuses[0].ready} {.metadata.deletionTimestamp}{"\n"}{end}'; }
ready_on() { [ "$(on_node "$1" | grep -c "^$2 true *$")" -ge "$3" ]; }
no_route() { ! on a ip route | grep -q 172.18.2.0/24; }
containers() { DOCKER_HOST=unix://$work/$1/docker.sock docker ps -q --no-trunc --filter name=k8s_ | sort; }

wire
for m in a b; do start_engine $m; done
for m in a b; do
  until_true 30 "the start of engine $m" env DOCKER_HOST="unix://$work/$m/docker.sock" docker version
  DOCKER_HOST=unix://$work/$m/docker.sock "$here/../pods/image.sh" $image
done
start_server

# --- joining
command=$(on a openshift ex node-token)
like "the command for the other machine is printed whole" '^openshift start node --master=https://10\.99\.0\.1:8443 --token=[a-z0-9]{6}\.[a-z0-9]{16}@sha256:[0-9a-f]{64}$' "$command"
master=$(grep -o -- '--master=[^ ]*' <<<"$command") token=$(grep -o -- '--token=[^ ]*' <<<"$command")
refused() { on b timeout 60 openshift start node --data-dir="$work/b/none" --hostname="$@" 2>&1 || true; }
wrong=${token%%.*}.aaaaaaaaaaaaaaaa@${token##*@}
same "a wrong token fails with one clear line" \
  "openshift: the server refuses the token: it is wrong, used up or has ended; make another one with 'openshift ex node-token' on the server" "$(refused b "$master" "$wrong")"
like "a server of another cluster is told nothing" '^openshift: the server at .* is not of the cluster that the token is for: .*' \
  "$(refused b "$master" "${token%@*}@sha256:$(printf '0%.0s' $(seq 64))")"
like "a name that is taken is refused" '^openshift: the server does not take this machine: node "a" is another machine' "$(refused a "$master" "$token")"
start_node "$master" "$token"
until_true 30 "the node being Ready" condition b True
ok "the machine joins and is Ready"
same "it is known by an address that others reach" 10.99.0.2 "$(field nodes b -o 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}')"
like "its key and certificate are its own" '^600 600$' "$(stat -c %a "$work/b/data/node.key" "$work/b/data/node.kubeconfig" | xargs)"

# --- pods on both, and between them
cat >"$work/rc.json" <<JSON
{"apiVersion":"v1","kind":"ReplicationController","metadata":{"name":"web"},"spec":{"replicas":4,"selector":{"app":"web"},
 "template":{"metadata":{"labels":{"app":"web"}},"spec":{"terminationGracePeriodSeconds":1,
  "tolerations":[{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":1}],
  "containers":[{"name":"web","image":"$image","imagePullPolicy":"IfNotPresent","env":[{"name":"NODE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}],
   "command":["/bin/sh","-c","mkdir -p /tmp/w; echo \$NODE >/tmp/w/index.html; echo serving on \$NODE; exec /bin/busybox httpd -f -p 8080 -h /tmp/w"]}]}}}}
JSON
k create -f "$work/rc.json" >/dev/null
printf '{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"selector":{"app":"web"},"ports":[{"port":80,"targetPort":8080}]}}' | k create -f - >/dev/null
both() { ready_on web a 2 && ready_on web b 2; }
until_true 30 "pods on both machines" both
ok "a controller's pods spread over both machines"
of() { field pods -l app=web -o 'jsonpath={range .items[*]}{.spec.nodeName} {.metadata.name} {.status.podIP}{"\n"}{end}' | grep "^$1 " | head -1; }
read -r _ pod_a ip_a <<<"$(of a)"
read -r _ pod_b ip_b <<<"$(of b)"
like "pods of the other machine have addresses of its network" '^172\.18\.2\.' "$ip_b"
until_true 20 "a route to the other machine's pods" on a curl -sf --max-time 1 "http://$ip_b:8080/"
until_true 20 "a route back" on b curl -sf --max-time 1 "http://$ip_a:8080/"
ok "each machine reaches the pods of the other"
same "a pod reaches a pod of the other machine by its address" b "$(k exec "$pod_a" -- curl -s --max-time 5 "http://$ip_b:8080/")"
portal=$(field services web -o 'jsonpath={.spec.clusterIP}')
answers() { for _ in $(seq 40); do on "$1" curl -s --max-time 5 "http://$portal/"; done | sort -u | xargs; }
balanced() { [ "$(answers "$1")" = "a b" ]; }
for m in a b; do until_true 20 "the service balanced over both, seen from $m" balanced $m; done
ok "the service balances over both machines, from each"
from_pod() { k exec "$1" -- sh -c "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do curl -s --max-time 5 http://$portal/; done" | sort -u | xargs; }
same "and from a pod of the other machine" "a b" "$(from_pod "$pod_b")"
named() { k exec "$1" -- curl -sf --max-time 5 http://web.default.svc.cluster.local/ | grep -q '^[ab]$'; }
for pod in "$pod_a" "$pod_b"; do until_true 10 "the service's name, asked by $pod" named "$pod"; done
ok "pods of each machine find the service by its name"
like "a pod of the other machine reaches the API" 'default.* cannot list' "$(k exec "$pod_b" -- sh -c 'cd /var/run/secrets/kubernetes.io/serviceaccount
  curl -sS --max-time 5 --cacert ca.crt -H "Authorization: Bearer $(cat token)" https://$KUBERNETES_SERVICE_HOST/api/v1/namespaces/default/pods')"

# --- what the server asks of the node
same "the log of a pod on the other machine" "serving on b" "$(k logs "$pod_b")"
same "a command in it, with input and exit code" "hello 3" "$(echo hello | k exec -i "$pod_b" -- sh -c 'read x; printf "%s " $x; exit 3' 2>/dev/null || echo $?)"
launch a "$kubectl" port-forward "$pod_b" 18080:8080 >"$work/forward.log" 2>&1 &
forward=$!
until_true 10 "the forwarded port" grep -q Forwarding "$work/forward.log"
same "a port of it" b "$(on a curl -s --max-time 5 http://127.0.0.1:18080/)"
kill $forward
wait $forward 2>/dev/null || true
top() { on a osc top pods "$pod_b" | grep -q "$pod_b"; }
until_true 15 "what it uses" top
ok "and what it uses"
head -c 20000000 /dev/urandom >"$work/much"
same "much output comes whole" "$(md5sum <"$work/much")" "$(k exec -i "$pod_b" -- cat <"$work/much" | md5sum)"

# --- what goes wrong
before=$(containers b)
stop b -KILL
on a curl -sf --max-time 2 "http://$ip_b:8080/" >/dev/null || fail "pods go on without their agent"
start_node
until_true 20 "logs again" k logs "$pod_b"
same "an agent that was killed comes back without a token, and no container notices" "$before" "$(containers b)"
stop a -KILL
start_server
until_true 20 "logs after a restart of the server" k logs "$pod_b"
same "the node finds the server that was restarted" "$before" "$(containers b)"

on switch ip link set to-b down
until_true 40 "the silent node being lost" condition b Unknown
ok "a node that is cut off is lost after its grace"
until_true 30 "its pods elsewhere" ready_on web a 4
ok "its pods are made anew elsewhere"
[ "$(containers b)" = "$before" ] || fail "pods of a machine that is cut off go on"
on switch ip link set to-b up
until_true 30 "the node being Ready again" condition b True
ended() { [ -z "$(comm -12 <(echo "$before") <(containers b))" ]; }
until_true 30 "the end of the old pods" ended
ok "when it comes back the old ones are ended"

stop b
field nodes b >/dev/null && on a osc delete nodes b >/dev/null
until_true 15 "the end of the route to a node that is gone" no_route
ok "a node that is removed leaves no route behind"
echo "$passed passed, 0 failed in $SECONDS s"
