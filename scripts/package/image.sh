#!/usr/bin/env bash
# Makes the image NAME of a static `openshift`. Usage: scripts/package/image.sh BINARY NAME
set -euo pipefail
binary=$1 name=$2
here=$(realpath "$(dirname "$0")")
if ldd "$binary" 2>/dev/null | grep -q "=>"; then
  echo "$binary is not static; make image builds one" >&2
  exit 1
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
mkdir -p "$root"/{usr/bin,usr/sbin,etc,run,var/lib/openshift}
install -d -m 1777 "$root/tmp"
install -m 755 "$binary" "$root/usr/bin/openshift"
ln -s openshift "$root/usr/bin/osc"
echo 'root:x:0:0:root:/root:/usr/bin/openshift' >"$root/etc/passwd"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"

# iptables is this host's, since the kernel that it must suit is; with the libraries and extensions that it loads.
iptables=$(realpath "$(type -P iptables)")
copy() { mkdir -p "$root$(dirname "$1")" && cp -Ln "$1" "$root$1" 2>/dev/null || true; }
copy "$iptables"
extensions=$(dirname "$(find /usr/lib /lib -name libxt_comment.so -print -quit)")
for file in "$extensions"/lib{xt_comment,xt_conntrack,xt_mark,xt_MARK,xt_statistic,xt_tcp,xt_udp,xt_addrtype,xt_physdev,xt_recent,xt_set,xt_standard,ipt_REJECT,ipt_MASQUERADE,ipt_DNAT,ipt_SNAT,xt_MASQUERADE,xt_DNAT,xt_SNAT,xt_REDIRECT,xt_NAT,ipt_REDIRECT,ip6t_REJECT,xt_nat,xt_multiport}.so; do
  [ ! -e "$file" ] || copy "$file"
done
{ ldd "$iptables"; for file in "$root$extensions"/*.so; do ldd "$file"; done; } | grep -o '/[^ ]*' | sort -u | while read -r library; do copy "$library"; done
for command in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
  ln -sf "$iptables" "$root/usr/sbin/$command"
done
docker build -q -t "$name" -f "$here/Dockerfile" "$root" >/dev/null
docker image inspect -f "$name: {{.Size}} bytes" "$name"
