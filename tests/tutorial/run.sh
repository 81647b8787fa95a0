#!/usr/bin/env bash
# The tutorial, word for word, on real Docker and real iptables: each step's command and what it must show.
# Usage: tests/tutorial/run.sh DIRECTORY-OF-THE-BINARIES
set -euo pipefail
bin=$(realpath "$1")
examples=$(realpath "$(dirname "$0")/../../examples/hello-openshift")
work=$(mktemp -d)
export OPENSHIFT_DATA_DIR=$work/data PATH=$work/bin:$PATH
mkdir -p "$work/bin"
ln -s "$bin/openshift" "$work/bin/openshift"
ln -s "$bin/openshift" "$work/bin/osc"
passed=0

finish() {
  status=$?
  [ $status -eq 0 ] || { echo "--- server log"; tail -40 "$work/server.log"; }
  if [ -n "$server" ]; then kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; fi
  openshift ex clean >/dev/null 2>&1 || true
  rm -rf "$work"
  exit $status
}

fail() { echo "FAILED: $1"; [ -z "${2:-}" ] || printf '  wanted: %s\n  got: %s\n' "$2" "$3"; exit 1; }
ok() { passed=$((passed + 1)); echo "ok - $1"; }
# Blanks in a row count as one: two columns of the tutorial's own listings were edited by hand.
squeeze() { tr -s ' ' | sed 's/ $//'; }
same() { [ "$2" = "$3" ] && ok "$1" || fail "$1" "$2" "$3"; }
like() { [[ "$3" =~ $2 ]] && ok "$1" || fail "$1" "$2" "$3"; }
# until SECONDS WHAT COMMAND…: waits for a condition, never longer than said.
until_true() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "$what did not come true"
    sleep 0.05
  done
}

start() {
  openshift start --hostname=master >>"$work/server.log" 2>&1 &
  server=$!
  until_true 30 "the announcement of readiness" grep -q '^ready after' "$work/server.log"
}

server=
trap finish EXIT
start

same "osc get minions" "$(printf 'NAME LABELS STATUS\nmaster <none> Ready')" "$(osc get minions | squeeze)"
same "new-project is silent" "" "$(openshift ex new-project hack --display-name="Hack Night" --description="The Hack Night Demo Project" --admin=anypassword:admin)"
like "the project is listed" 'hack +Hack Night' "$(osc get projects)"
same "create the pod" "hello-openshift" "$(osc create -n hack -f - <"$examples/hello-pod.json")"
running() { osc get -n hack pods --no-headers | grep -c Running | grep -qx "$1"; }
until_true 20 "the pod running" running 1
like "osc get pods" 'POD +IP +CONTAINER\(S\) +IMAGE\(S\) +HOST +LABELS +STATUS' "$(osc get -n hack pods)"
like "the pod's row" 'hello-openshift +172\.[0-9.]+ +hello-openshift +openshift/hello-openshift +master/127.0.0.1 +name=hello-openshift +Running' "$(osc get -n hack pods)"
ip=$(osc get -n hack pods hello-openshift --template='{{.currentState.podIP}}')
same "curl the pod" "Hello OpenShift!" "$(curl -s --max-time 5 "$ip:8080")"
same "curl the host port" "Hello OpenShift!" "$(curl -s --max-time 5 localhost:6061)"
like "docker ps shows the tutorial's hash" 'k8s_hello-openshift\.34edfc84_hello-openshift\.hack\.api_' "$(docker ps --format '{{.Names}}')"
like "docker ps shows the infra container" 'k8s_POD\.e3b5ea67_hello-openshift\.hack\.api_' "$(docker ps --format '{{.Names}}')"
same "create the service" "hello-openshift" "$(osc create -n hack -f - <"$examples/hello-service.json")"
like "osc get service" 'hello-openshift +<none> +name=hello-openshift +172\.30\.[0-9.]+ +27017' "$(osc get -n hack service)"
address=$(osc get -n hack services hello-openshift --template="{{ .portalIP}}:{{ .port}}")
answers() { [ "$(curl -s --max-time 2 "$address")" = "Hello OpenShift!" ]; }
until_true 5 "the service answering" answers
ok "curl the service"
same "create the controller" "hello-controller" "$(osc create -n hack -f - <"$examples/hello-controller.json")"
same "osc get rc" "$(printf 'CONTROLLER CONTAINER(S) IMAGE(S) SELECTOR REPLICAS\nhello-controller hello-openshift openshift/hello-openshift name=hello-openshift 1')" "$(osc get -n hack rc | squeeze)"
adopted() { [ "$(osc get -n hack pods hello-openshift -o jsonpath='{.metadata.ownerReferences[0].name}')" = hello-controller ]; }
until_true 5 "the pod being adopted" adopted
running 1 || fail "the controller made a pod although one was there"
ok "the controller adopts the pod"
same "update to 3 replicas" "hello-controller" "$(sed 's/"replicas": 1/"replicas": 3/' "$examples/hello-controller.json" | osc update -n hack -f -)"
until_true 20 "three pods running" running 3
ok "three pods run"

containers() { docker ps -q --no-trunc --filter name=k8s_hello-openshift.346dfbe7; }
one=$(containers | head -1)
docker stop "$one" >/dev/null
back() { [ "$(containers | wc -l)" = 2 ]; }
until_true 5 "the stopped container coming back" back
ok "a stopped container comes back"
docker kill $(containers) >/dev/null
sleep 0.2
for _ in $(seq 1 40); do
  answers || fail "the service must answer while two of three are down"
done
ok "the service answers while two of three are down"
# One of them was stopped a moment ago: it may have to wait out a back-off of ten seconds.
until_true 40 "the killed containers coming back" back

env=$(docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$(containers | head -1)" | grep -c -E '^(KUBERNETES|KUBERNETES_RO|HELLO_OPENSHIFT)_(SERVICE|PORT)')
same "the environment lists the services' variables" 21 "$env"
like "the log" 'serving at 8080' "$(osc log -n hack hello-openshift)"

before=$(docker ps -q --filter name=k8s_ | sort)
kill -9 "$server"
wait "$server" 2>/dev/null || true
answers || fail "traffic must go on while the server is dead"
: >"$work/server.log"
start
same "a killed server disturbs no container" "$before" "$(docker ps -q --filter name=k8s_ | sort)"
running 3 || fail "everything is as before the kill"
ok "everything is as before the kill"

for kubectl in kubectl.1.28 kubectl.1.33 kubectl; do
  command -v "$kubectl" >/dev/null || continue
  k="$kubectl --kubeconfig $OPENSHIFT_DATA_DIR/admin.kubeconfig"
  $k create namespace kube >/dev/null
  for file in pod service controller; do sed 's/6061/6062/' "$examples/v1/hello-$file.json" | $k create -n kube -f - >/dev/null; done
  $k scale -n kube --replicas=2 rc hello-controller >/dev/null
  $k wait -n kube --for=condition=Ready pod -l name=hello-openshift --timeout=20s >/dev/null || fail "$kubectl wait"
  like "$kubectl get" 'hello-openshift +1/1 +Running' "$($k get pods -n kube)"
  $k delete namespace kube --timeout=60s >/dev/null || fail "$kubectl delete namespace"
  ok "$kubectl runs the v1 files"
done
osc delete -n hack rc hello-controller >/dev/null
gone() { [ -z "$(docker ps -q --filter name=.hack.api_)" ]; }
until_true 60 "the controller's pods going" gone
ok "deleting the controller removes its pods"
echo "$passed passed, 0 failed"
