#!/usr/bin/env bash
# Installs Debian's packages that tests/real and tests/conformance run.
#   tests/real/install.sh           what CI runs
#   tests/real/install.sh --long    and what only tests/run.sh --long does
set -euo pipefail

packages=(microsocks tinyproxy stunnel4 redis-server nginx memcached git make gcc libc6-dev python3 openssl curl
  libpython3.11-testsuite)
# node may also have come from elsewhere.
[ -x /usr/bin/node ] || packages+=(nodejs)
exec "$(dirname "$0")/../install.sh" "${packages[@]}"
