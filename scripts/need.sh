#!/bin/sh
# Installs the Debian packages that the given commands or files come from, where they are missing, and says so.
# Usage: need.sh PACKAGE=PROOF ...   PROOF is a command on PATH, or a path that exists once the package is there.
set -eu
missing=
for pair in "$@"; do
  package=${pair%%=*}
  proof=${pair#*=}
  case $proof in
    /*) set -- $proof; [ -e "$1" ] || missing="$missing $package" ;;
    *) command -v "$proof" >/dev/null 2>&1 || missing="$missing $package" ;;
  esac
done
[ -n "$missing" ] || exit 0
echo "installing from Debian:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
install() { apt-get install -y --no-install-recommends $missing >"$log" 2>&1; }
# The package lists of a fresh machine are empty or old: fetch them only when the first try fails.
install || { apt-get update >"$log" 2>&1 && install; } || { cat "$log" >&2; rm -f "$log"; exit 1; }
rm -f "$log"
