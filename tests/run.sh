#!/usr/bin/env bash
# Builds everything and runs the tests: unit, behaviour (native against shim), real servers, conformance (short form).
# On a fresh Debian 12 it installs what is missing (as root or with sudo).
#   tests/run.sh            what CI runs, under 20 minutes
#   tests/run.sh --long     100 repetitions of the behaviour programs, whole conformance suites
#   tests/run.sh --quick    unit and behaviour tests only, one repetition
set -euo pipefail
cd "$(dirname "$0")/.."

repeat=2
labels=''
conformance_form=--short
for argument in "$@"; do
  case $argument in
    --long) repeat=100 conformance_form='' ;;
    --quick) repeat=1 labels='unit|behaviour' ;;
    *) echo "tests/run.sh: unknown option $argument (--long, --quick)" >&2; exit 2 ;;
  esac
done

packages=(g++ cmake make libgtest-dev python3 binutils procps openssl curl
  microsocks tinyproxy stunnel4 redis-server nginx memcached git libpython3.11-testsuite)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  as_root=''
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "tests/run.sh: install these packages first: ${missing[*]}" >&2; exit 1; }
    as_root=sudo
  fi
  # The servers are run by the tests; the system's own need not start.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
    $as_root chmod 755 $policy
    trap '$as_root rm -f $policy' EXIT
  fi
  $as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq "${missing[@]}" >/dev/null
fi

# Connections by the thousand need descriptors.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

cmake -B build -DCMAKE_BUILD_TYPE=Release -DBEHAVIOUR_REPEAT="$repeat" -DCONFORMANCE_FORM="$conformance_form"
cmake --build build -j "$(nproc)"
ctest --test-dir build -j "$(nproc)" --output-on-failure ${labels:+-L "$labels"}
