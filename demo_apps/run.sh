#!/usr/bin/env bash
# Builds everything and shows unmodified threaded servers natively and under the shim, side by side.
# On a fresh Debian 12 it installs what is missing (as root or with sudo).
set -euo pipefail
cd "$(dirname "$0")/.."

connections=1000
seconds=3

packages=(g++ cmake make libunwind-14-dev libgtest-dev python3 procps)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  as_root=''
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "demo_apps/run.sh: install these packages first: ${missing[*]}" >&2; exit 1; }
    as_root=sudo
  fi
  echo "installing ${missing[*]} ..."
  $as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq "${missing[@]}" >/dev/null
fi

echo "building ..."
cmake -B build -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build build -j "$(nproc)" >/dev/null
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

lib=$PWD/build/libcoshim.so
apps=$PWD/build/demo_apps
work=$(mktemp -d)
server=''
cleanup() {
  [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
printf '<html><body><h1>Hello</h1>%s</body></html>\n' "$(head -c 700 /dev/zero | tr '\0' x)" >"$work/index.html"

# start PRELOAD PROGRAM ARGUMENTS...: sets $server and $port
start() {
  local preload=$1
  shift
  : >"$work/out"
  if [ -n "$preload" ]; then LD_PRELOAD=$preload "$@" >"$work/out" & else "$@" >"$work/out" & fi
  server=$!
  for _ in $(seq 100); do
    port=$(sed -n 's/^listening on 127.0.0.1:\([0-9]*\)$/\1/p' "$work/out")
    [ -z "$port" ] || return 0
    sleep 0.1
  done
  echo "$1 did not start" >&2
  exit 1
}

stop() {
  kill -TERM "$server"
  local status=0
  timeout 10 tail --pid="$server" -f /dev/null || { echo "the server did not stop" >&2; exit 1; }
  wait "$server" || status=$?
  server=''
  [ "$status" -eq 0 ] || { echo "the server ended with status $status" >&2; exit 1; }
}

field() { awk -v key="$1:" '$1 == key {print $2}' "/proc/$server/status"; }

# measure HOW PRELOAD KIND PROGRAM ARGUMENTS...
measure() {
  local how=$1 preload=$2 kind=$3 rate threads memory tables count=$connections
  shift 3
  start "$preload" "$@"
  [ "$kind" != chat ] || count=200
  timeout 60 "$apps/load_client" "$kind" "$port" "$count" "$seconds" / >"$work/rate" &
  local client=$!
  sleep 2
  threads=$(field Threads) memory=$(field VmRSS) tables=$(field VmPTE)
  wait "$client" || { echo "the load client failed" >&2; exit 1; }
  rate=$(cat "$work/rate")
  printf '  %-10s %-8s %8s %14s %14s %14s\n' "$(basename "$1")" "$how" "$threads" "$memory KiB" "$tables KiB" "$rate/s"
  stop
}

cat <<TEXT

Three ordinary servers, one thread a connection, $connections connections (chat: 200 clients, two threads each).
First as they are, then with LD_PRELOAD=libcoshim.so. Every reply is checked.

  server     run       threads         memory    page tables       requests
TEXT
for how in native shim; do measure "$how" "$([ $how = shim ] && echo "$lib" || true)" echo "$apps/echo_server"; done
for how in native shim; do measure "$how" "$([ $how = shim ] && echo "$lib" || true)" http "$apps/http_server" "$work"; done
for how in native shim; do measure "$how" "$([ $how = shim ] && echo "$lib" || true)" chat "$apps/chat_server"; done

echo
echo "A program that starts 500 threads, one a request (natively, then under the shim):"
start '' "$apps/http_server" "$work"
native=$("$apps/fetcher" "http://127.0.0.1:$port/" 500)
under=$(LD_PRELOAD=$lib "$apps/fetcher" "http://127.0.0.1:$port/" 500)
stop
echo "  $native"
echo "  $under"
[ "$native" = "$under" ] || { echo "the answers differ" >&2; exit 1; }

echo
echo "A thread that overflows its stack: one line, a backtrace, then SIGSEGV as natively:"
status=0
(COSHIM_STACK_SIZE=256K LD_PRELOAD=$lib exec "$apps/overflow") 2>"$work/overflow" || status=$?
head -4 "$work/overflow" | sed 's/^/  /'
[ "$status" -eq 139 ] || { echo "expected SIGSEGV, got status $status" >&2; exit 1; }

echo
echo "A program in a deadlock, asked what it is doing (kill -USR2):"
COSHIM_DUMP_SIGNAL=USR2 COSHIM_DUMP_PATH=$work/dump LD_PRELOAD=$lib "$apps/deadlock" >/dev/null &
server=$!
sleep 1
kill -USR2 "$server"
for _ in $(seq 50); do
  grep -q 'end of dump' "$work/dump" 2>/dev/null && break
  sleep 0.1
done
sed 's/^/  /' "$work/dump"
kill -KILL "$server"
wait "$server" 2>/dev/null || true
server=''
grep -q 'transfer_money' "$work/dump" || { echo "the dump lacks the deadlocked thread" >&2; exit 1; }
