#!/usr/bin/env bash
# Packs what is released into DIRECTORY: the archive, the bill of materials, and their checksums. The same input gives
# the same bytes. Usage: scripts/package/dist.sh BINARY DOCUMENTS SBOM DIRECTORY
set -euo pipefail
binary=$1 documents=$2 sbom=$3 out=$4
here=$(realpath "$(dirname "$0")")
top=$here/../..
version=$("$binary" version | sed -n 's/^openshift v//p')
name=openshift-$version-linux-$(uname -m)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2>/dev/null || echo 0)}

DESTDIR=$stage PREFIX=/$name UNITDIR=/$name/lib/systemd/system "$here/install.sh" install "$binary" "$documents" >/dev/null
sed -i 's|^ExecStart=.*/openshift|ExecStart=/usr/local/bin/openshift|' "$stage/$name/lib/systemd/system/openshift-master.service"
cp -r "$top/README.md" "$top/examples" "$stage/$name/"
mkdir -p "$out"
rm -f "$out"/*.tar.gz "$out"/*.cdx.json "$out/SHA256SUMS"
tar -C "$stage" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -c "$name" | gzip -9n >"$out/$name.tar.gz"
cp "$sbom" "$out/$name.cdx.json"
(cd "$out" && sha256sum "$name.tar.gz" "$name.cdx.json" >SHA256SUMS && ls -l && cat SHA256SUMS)
