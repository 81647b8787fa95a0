#!/usr/bin/env bash
# What pods are promised beyond the tutorial, on real Docker: each promise once, with real programs in real containers.
# Usage: tests/pods/run.sh DIRECTORY-OF-THE-BINARIES
set -euo pipefail
bin=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
. "$here/../checks.sh"
work=$(mktemp -d)
export OPENSHIFT_DATA_DIR=$work/data PATH=$work/bin:$PATH KUBECONFIG=$work/data/admin.kubeconfig
mkdir -p "$work/bin"
ln -s "$bin/openshift" "$work/bin/openshift"
ln -s "$bin/openshift" "$work/bin/osc"
image=pilothouse-test/tools:1

finish() {
  status=$?
  [ $status -eq 0 ] || { echo "--- server log"; tail -40 "$work/server.log"; }
  if [ -n "$server" ]; then kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; fi
  openshift ex clean >/dev/null 2>&1 || true
  rm -rf "$work"
  exit $status
}

# pod NAME SPEC-MEMBERS CONTAINER-MEMBERS: makes a pod of one container `a` from the tools image.
pod() {
  printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s","labels":{"app":"%s"}},"spec":{"terminationGracePeriodSeconds":1,%s"containers":[{"name":"a","image":"%s","imagePullPolicy":"IfNotPresent"%s}]}}' \
    "$1" "$1" "${2:+$2,}" "$image" "${3:+,$3}" | osc create -f - >/dev/null
}
field() { osc get pods "$1" -o "jsonpath=$2"; }
ready() { [ "$(field "$1" '{.status.containerStatuses[0].ready}')" = true ]; }
container() { docker ps -q --filter "name=k8s_a\..*_$1\.default\.api_"; }
inside() { docker exec "$(container "$1")" "${@:2}"; }

server=
trap finish EXIT
"$here/image.sh" $image
openshift start --hostname=master >>"$work/server.log" 2>&1 &
server=$!
until_true 30 "the announcement of readiness" grep -q '^ready after' "$work/server.log"

# --- the service account's token
pod token
until_true 20 "the pod running" ready token
api='cd /var/run/secrets/kubernetes.io/serviceaccount; curl -sS --max-time 5 --cacert ca.crt -H "Authorization: Bearer $(cat token)" https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT'
same "the token's namespace" default "$(inside token cat /var/run/secrets/kubernetes.io/serviceaccount/namespace)"
like "a pod reaches the API at the service's address, as its account" 'system:serviceaccount:default:default.* cannot list' \
  "$(inside token sh -c "$api/api/v1/namespaces/default/pods")"
token=$(inside token cat /var/run/secrets/kubernetes.io/serviceaccount/token)
pod bare '"automountServiceAccountToken":false'
until_true 20 "the pod running" ready bare
! inside bare ls /var/run/secrets/kubernetes.io/serviceaccount 2>/dev/null || fail "automountServiceAccountToken: false is honoured"
ok "automountServiceAccountToken: false is honoured"
osc delete pods token >/dev/null
gone() { [ -z "$(docker ps -aq --filter "name=_$1\.default\.api_")" ]; }
until_true 20 "the pod's end" gone token
refused() { [ "$(curl -sk -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" https://127.0.0.1:8443/api/v1/namespaces/default/pods)" = 401 ]; }
until_true 5 "the token dying with its pod" refused
ok "the token dies with its pod"

# --- the pod's network, its name and whom it asks
pod net '"hostAliases":[{"ip":"10.1.2.3","hostnames":["foo.example"]}],"dnsConfig":{"nameservers":["192.0.2.53"],"options":[{"name":"ndots","value":"3"}]}'
pod port '' '"ports":[{"containerPort":8080,"hostPort":18080}],"command":["busybox","httpd","-f","-p","8080","-h","/etc"]'
until_true 20 "the pod running" ready net
until_true 20 "the pod running" ready port
ip=$(field net '{.status.podIP}')
same "a pod's host name is its own" net "$(inside net busybox hostname)"
like "a pod finds itself and its aliases" "$ip	net.*10.1.2.3	foo.example" "$(inside net cat /etc/hosts)"
like "dnsConfig is obeyed" 'nameserver 192.0.2.53.*options.*ndots:3' "$(inside net cat /etc/resolv.conf)"
like "the interface has the address that is reported" "inet $ip/" "$(inside net busybox ip addr show dev eth0)"
same "a pod reaches one that the engine gave its network, for the sake of a host port" port \
  "$(inside net curl -sS --max-time 5 "http://$(field port '{.status.podIP}'):8080/hostname")"
same "the host port answers" port "$(curl -sS --max-time 5 http://127.0.0.1:18080/hostname)"
pod much '' '"command":["/bin/sh","-c","x=$(busybox yes | head -c 8000000); while :; do sleep 1; done"]'
used() { osc top pods much | grep -qE ' [1-9][0-9]*Mi'; }
until_true 30 "the memory that a pod uses being shown" used
ok "what a pod uses is shown"
itself() {
  osc expose pod "$1" --port=8080 >/dev/null
  inside "$1" curl -sS --retry 20 --retry-connrefused --retry-delay 1 --max-time 10 "http://$(osc get services "$1" --template='{{.portalIP}}'):8080/hostname"
}
pod loop '' '"command":["busybox","httpd","-f","-p","8080","-h","/etc"]'
until_true 20 "the pod running" ready loop
same "a pod reaches itself through its service" loop "$(itself loop)"
same "a pod with a host port reaches itself through its service" port "$(itself port)"

# --- names of the cluster
get() { inside "$1" curl -sS --max-time 5 "http://$2:8080/hostname"; }
same "a service is found by its name" loop "$(get port loop)"
same "and by its full name" loop "$(get port loop.default.svc.cluster.local)"
osc create -f - >/dev/null <<<'{"apiVersion":"v1","kind":"Service","metadata":{"name":"each"},"spec":{"clusterIP":"None","selector":{"app":"each"},"ports":[{"name":"web","port":8080}]}}'
for name in one two; do
  pod "$name" '"hostname":"'"$name"'","subdomain":"each"' '"command":["busybox","httpd","-f","-p","8080","-h","/etc"]'
  osc label pods "$name" app=each --overwrite >/dev/null
done
until_true 20 "the pod running" ready one
until_true 20 "the pod running" ready two
until_true 10 "a pod's own name below its service's" get port one.each
same "a pod of a headless service has a name of its own" "one two" "$(get port one.each) $(get port two.each.default.svc.cluster.local)"
lookup() { inside port busybox nslookup "$@" 2>&1; }
both() { [ "$(lookup each.default.svc.cluster.local | grep -c '^Address: ')" = 2 ]; }
until_true 10 "a headless service's name standing for all of its pods" both
ok "a headless service's name stands for all of its pods"
like "a named port is found by the service" '8080 one.each.*|8080 two.each.*' "$(lookup -type=srv _web._tcp.each.default.svc.cluster.local)"
like "an address tells its name" "one.each.default.svc.cluster.local" "$(lookup "$(field one '{.status.podIP}')")"
like "a name that is not there is denied" 'NXDOMAIN|can.t find' "$(lookup nobody.default.svc.cluster.local || true)"
sandbox() { docker ps -q --filter "name=k8s_POD\..*_net\.default\.api_"; }
before=$(sandbox)
docker restart -t 0 "$before" >/dev/null
again() { [ -n "$(sandbox)" ] && [ "$(sandbox)" != "$before" ] && ready net && inside net curl -sS --max-time 2 "http://$(field port '{.status.podIP}'):8080/hostname"; }
until_true 30 "a sandbox that was restarted by hand making way for one with a network" again
ok "a sandbox that was restarted by hand makes way for one with a network"
ip=$(field net '{.status.podIP}')
sandbox=$(sandbox)
kill -9 "$server"
wait "$server" 2>/dev/null || true
like "the pod's network does not need the server" "inet $ip/" "$(inside net busybox ip addr show dev eth0)"
openshift start --hostname=master >>"$work/server.log" 2>&1 &
server=$!
until_true 30 "the server's return" sh -c "[ \$(grep -c '^ready after' $work/server.log) = 2 ]"
pod later
until_true 20 "the pod running" ready later
[ "$(field later '{.status.podIP}')" != "$ip" ] || fail "two pods have one address"
same "an adopted sandbox keeps its address" "$sandbox $ip" "$(sandbox) $(field net '{.status.podIP}')"

named() { [ "$(get port loop)" = loop ]; }
until_true 10 "names being found again after the server's return" named
ok "pods that ran before the server's return find names"

echo "$passed passed, 0 failed"
