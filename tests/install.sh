#!/usr/bin/env bash
# tests/install.sh PACKAGE...: installs those of Debian's packages that are missing, as root or with sudo.
# The programs only: no system service is started.
set -euo pipefail

missing=()
for package in "$@"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -eq 0 ]; then
  exit 0
fi

as_root=''
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "tests/install.sh: as root or with sudo only; missing: ${missing[*]}" >&2; exit 1; }
  as_root=sudo
fi

# Debian starts a service when its package is installed, unless this script says no (invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '$as_root rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
  $as_root chmod 755 "$policy"
elif "$policy" coshim-test start >/dev/null 2>&1; then
  echo "tests/install.sh: $policy would let services start; move it away first" >&2
  exit 1
fi

$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
