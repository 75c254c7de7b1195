#!/usr/bin/env bash
# Installs Debian's packages that tests/real and tests/conformance run.
#   tests/real/install.sh           what CI runs
#   tests/real/install.sh --long    and what only tests/run.sh --long does
set -euo pipefail

packages=(microsocks tinyproxy stunnel4 redis-server nginx memcached git make gcc libc6-dev python3 openssl curl wget rsync
  apache2 apache2-utils mariadb-server-core mariadb-client pigz pbzip2 xz-utils zstd perl procps
  libpython3.11-testsuite)
if [ "${1:-}" = --long ]; then
  packages+=(haproxy varnish squid bind9 bind9-dnsutils bind9-host unbound dnsmasq-base slapd ldap-utils mosquitto
    mosquitto-clients icecast2 ffmpeg rsyslog openssh-server openssh-client cups cups-client postgresql
    openjdk-17-jdk-headless ruby ruby-webrick puma golang-go rustc erlang-base sox qemu-utils gdb chromium)
fi
# node may also have come from elsewhere.
[ -x /usr/bin/node ] || packages+=(nodejs)
exec "$(dirname "$0")/../install.sh" "${packages[@]}"
