#!/usr/bin/env bash
# Installs what the cluster needs and is missing: a C linker, Rust, the Docker engine, iptables, nft; starts Docker if nobody has.
# Quick when everything is there. For Debian and Ubuntu. With the argument `tests`, also what only tests need.
set -euo pipefail

need=()
command -v cc >/dev/null || need+=(gcc libc6-dev)
command -v make >/dev/null || need+=(make)
command -v curl >/dev/null || need+=(curl ca-certificates)
command -v dockerd >/dev/null || need+=(docker.io)
command -v iptables >/dev/null || need+=(iptables)
command -v nft >/dev/null || need+=(nftables) # tests and benches look at the rules with it; the server needs only the kernel
command -v ip >/dev/null || need+=(iproute2)
command -v busybox >/dev/null || need+=(busybox-static) # the tests' image with a shell
command -v pgrep >/dev/null || need+=(procps)
if [ ${#need[@]} -gt 0 ]; then
  echo "installing ${need[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi

# The tests look at the console with a real browser; without one they say that they skip it.
if [ "${1-}" = tests ] && ! command -v chromedriver >/dev/null; then
  echo "installing chromium"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null || echo "no chromium here" >&2
fi

# axe-core, the usual judge of accessibility; without it the tests say so and keep their own checks.
axe="${CARGO_TARGET_DIR:-target}/axe.min.js"
if [ "${1-}" = tests ] && [ ! -s "$axe" ]; then
  echo "fetching axe-core"
  command -v pip3 >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-pip >/dev/null || true
  wheel=$(mktemp -d)
  mkdir -p "$(dirname "$axe")"
  if pip3 download -q --no-deps --disable-pip-version-check -d "$wheel" axe-playwright-python==0.1.8; then
    python3 -c 'import glob, sys, zipfile; z = zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0]); open(sys.argv[2], "wb").write(z.read("axe_playwright_python/axe.min.js"))' "$wheel" "$axe" ||
      echo "no axe-core here" >&2
  fi
  rm -rf "$wheel"
fi

if ! command -v cargo >/dev/null && [ ! -x "$HOME/.cargo/bin/cargo" ]; then
  echo "installing Rust"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq rustup >/dev/null 2>&1 ||
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain none
fi

# The console runs in browsers; the toolchain comes by rust-toolchain.toml, an older one may lack the target.
export PATH="$HOME/.cargo/bin:$PATH"
if command -v rustup >/dev/null && ! rustup target list --installed | grep -q wasm32-unknown-unknown; then
  echo "adding the WASM target"
  rustup target add wasm32-unknown-unknown
fi

if ! docker version >/dev/null 2>&1; then
  echo "starting Docker"
  if [ -d /run/systemd/system ]; then
    systemctl start docker
  else
    # An engine that was killed leaves its pid files, and refuses to start if somebody else has the pid by now.
    ps -C dockerd -o stat= | grep -qv Z || rm -f /var/run/docker.pid /var/run/docker/containerd/containerd.pid
    nohup dockerd >/var/log/dockerd.log 2>&1 &
  fi
  for _ in $(seq 1 120); do docker version >/dev/null 2>&1 && break; sleep 0.5; done
  docker version >/dev/null 2>&1 || { echo "Docker does not start; see /var/log/dockerd.log" >&2; exit 1; }
fi
