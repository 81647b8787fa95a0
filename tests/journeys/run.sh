#!/usr/bin/env bash
# Whole journeys on the real engine: the tutorial, then today's files with every kubectl that is installed.
# Usage: tests/journeys/run.sh DIRECTORY-OF-THE-BINARIES
set -euo pipefail
bin=$1
here=$(dirname "$0")
"$bin/journey" --bin "$bin" "$here/tutorial.steps"
"$bin/journey" --bin "$bin" "$here/start.steps" "$here/osc.steps"

# kubectl's journey needs an image with a shell; no registry is asked.
image=$(mktemp -d)
trap 'rm -rf "$image"' EXIT
cp "$(command -v busybox)" "$image/busybox"
printf 'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "mkdir", "-p", "/tmp", "/usr/bin", "/usr/sbin", "/sbin"]\nRUN ["/bin/busybox", "--install", "-s"]\n' >"$image/Dockerfile"
docker build -q -t pilothouse-test/busybox "$image" >/dev/null 2>&1

# Some packages put the versions beside the kubectl that they link to.
if kubectl=$(command -v kubectl); then export PATH=$PATH:$(dirname "$(readlink -f "$kubectl")"); fi
arguments=()
for kubectl in kubectl.1.27 kubectl.1.28 kubectl.1.29 kubectl.1.30 kubectl.1.31 kubectl.1.32 kubectl.1.33 kubectl; do
  command -v "$kubectl" >/dev/null || continue
  arguments+=("KUBECTL=$kubectl" "NS=${kubectl//./-}" "$here/kubectl.steps")
done
if [ ${#arguments[@]} -eq 0 ]; then
  echo "skipped: no kubectl is installed"
else
  "$bin/journey" --bin "$bin" "$here/start.steps" "${arguments[@]}"
fi
