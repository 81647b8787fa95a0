#!/usr/bin/env bash
# Imports a small image of this host's own programs (a shell, coreutils, curl) as NAME, so that tests need no registry.
# Usage: tests/pods/image.sh NAME
set -euo pipefail
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,etc,tmp}
chmod 1777 "$root/tmp"
echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
programs=(bash cat sleep ls stat env rm touch mkdir true false date id sed grep curl head wc sort mount df chmod kill busybox)
for program in "${programs[@]}"; do
  path=$(type -P "$program")
  cp -L "$path" "$root/bin/"
  # A static program needs none.
  { ldd "$path" 2>/dev/null || true; } | { grep -o '/[^ ]*' || true; } | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -Ln "$library" "$root$library" 2>/dev/null || true
  done
done
ln -s bash "$root/bin/sh"
tar -C "$root" -c . | docker import -c 'CMD ["/bin/sleep","86400"]' - "$1" >/dev/null
