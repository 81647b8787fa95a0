#!/usr/bin/env bash
# Installs or removes the programs, manual pages, shell completions and the systemd unit below $DESTDIR.
# Usage: [DESTDIR=…] [PREFIX=/usr/local] [UNITDIR=…] scripts/package/install.sh install|uninstall BINARY DOCUMENTS
# DOCUMENTS is what the example `documents` of the package backend writes.
set -euo pipefail
action=$1 binary=$2 documents=$3
here=$(realpath "$(dirname "$0")")
prefix=${PREFIX:-/usr/local}
destination=${DESTDIR:-}
unit=${UNITDIR:-/etc/systemd/system}/openshift-master.service
bin=$prefix/bin share=$prefix/share

declare -A files # where → what
for page in "$documents"/man/*.1; do files[$share/man/man1/$(basename "$page")]=$page; done
for program in openshift osc; do
  files[$share/bash-completion/completions/$program]=$documents/completions/$program.bash
  files[$share/zsh/site-functions/_$program]=$documents/completions/_$program
  files[$share/fish/vendor_completions.d/$program.fish]=$documents/completions/$program.fish
done

reload() { # Only when this very host is meant and systemd runs it.
  if [ -z "$destination" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
}

case $action in
install)
  install -D -m 755 "$binary" "$destination$bin/openshift"
  ln -sf openshift "$destination$bin/osc"
  for to in "${!files[@]}"; do install -D -m 644 "${files[$to]}" "$destination$to"; done
  mkdir -p "$destination$(dirname "$unit")"
  sed "s|@BINDIR@|$bin|" "$here/openshift-master.service" >"$destination$unit"
  chmod 644 "$destination$unit"
  reload
  echo "installed $bin/openshift and osc; start it with: systemctl enable --now openshift-master"
  ;;
uninstall)
  if [ -z "$destination" ] && [ -d /run/systemd/system ]; then systemctl disable --now openshift-master 2>/dev/null || true; fi
  rm -f "$destination$bin/openshift" "$destination$bin/osc" "$destination$unit"
  for to in "${!files[@]}"; do rm -f "$destination$to"; done
  reload
  echo "removed; the cluster's data and containers stay (openshift ex clean removes them, before this)"
  ;;
*)
  echo "install or uninstall?" >&2
  exit 2
  ;;
esac
