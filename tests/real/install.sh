#!/usr/bin/env bash
# Installs Debian's packages that tests/real and tests/conformance run: the programs only, no system service is started.
set -euo pipefail

packages=(microsocks tinyproxy stunnel4 redis-server nginx memcached git make gcc libc6-dev python3 openssl
  libpython3.11-testsuite)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
# node may also have come from elsewhere.
command -v node >/dev/null || missing+=(nodejs)
if [ "${#missing[@]}" -eq 0 ]; then
  exit 0
fi

as_root=''
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install.sh: as root or with sudo only; missing: ${missing[*]}" >&2; exit 1; }
  as_root=sudo
fi

# Debian starts a service when its package is installed, unless this script says no (invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '$as_root rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
  $as_root chmod 755 "$policy"
elif "$policy" coshim-test start >/dev/null 2>&1; then
  echo "install.sh: $policy would let services start; move it away first" >&2
  exit 1
fi

$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
