#!/usr/bin/env bash
# Builds everything and shows unmodified threaded servers natively and under the shim, side by side.
# On a fresh Debian 12 it installs what is missing (as root or with sudo). See usage() for the options.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

connections=1000
seconds=2
hows=(native shim)
most_threads=24 # as the tests ask: under the shim, whatever the number of connections

usage() {
  cat <<TEXT
usage: demo_apps/run.sh [--native-only] [--connections N] [--seconds N]
  --native-only     builds and runs the demo programs alone, without the shim
  --connections N   connections to each server (default $connections)
  --seconds N       seconds of load for each run (default $seconds)
TEXT
}

die() {
  echo "demo_apps/run.sh: $*" >&2
  exit 1
}

while [ $# -gt 0 ]; do
  case $1 in
    --native-only) hows=(native) ;;
    --connections | --seconds)
      [[ "${2:-}" =~ ^[1-9][0-9]*$ ]] || die "$1 needs a number"
      [ "$1" = --connections ] && connections=$2 || seconds=$2
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
with_shim() { [ "${#hows[@]}" -eq 2 ]; }

# ---- what it needs ---------------------------------------------------------------------------------------------

install_packages() {
  local packages=(g++ cmake make) missing=() package as_root=()
  if with_shim; then packages+=(libgtest-dev python3); fi
  command -v dpkg-query >/dev/null || return 0 # not a Debian: the build says what it lacks
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "install these packages first: ${missing[*]}"
    as_root=(sudo)
  fi
  echo "installing ${missing[*]} ..."
  "${as_root[@]}" apt-get update -qq || die "apt-get update failed; needed: ${missing[*]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null ||
    die "could not install: ${missing[*]}"
}

build() {
  local source=. directory=build
  with_shim || { source=demo_apps directory=build-demo_apps; }
  echo "building in $directory ..."
  { cmake -S "$source" -B "$directory" -DCMAKE_BUILD_TYPE=Release && cmake --build "$directory" -j "$(nproc)"; } \
    >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log" >&2; die "the build failed"; }
  apps=$PWD/$directory/demo_apps
  lib=$PWD/build/libcoshim.so
  with_shim || return 0
  [ -e "$lib" ] || die "the build made no build/libcoshim.so"
  [[ "$lib" != *[[:space:]:]* ]] || die "LD_PRELOAD takes no path with a space or colon: $lib"
}

# Each end of a connection is a descriptor, and the chat server takes two a client.
raise_descriptor_limit() {
  local most
  ulimit -Sn "$(ulimit -Hn)" 2>/dev/null || true
  most=$(ulimit -Sn)
  [ "$most" != unlimited ] || return 0
  if [ "$((2 * connections + 100))" -gt "$most" ]; then
    connections=$(((most - 100) / 2))
    echo "only $most descriptors are allowed here (ulimit -Hn): $connections connections"
  fi
}

# ---- starting and stopping -------------------------------------------------------------------------------------

work=$(mktemp -d)
server=''
client=''
failures=()
cleanup() {
  [ -z "$client" ] || kill -TERM "$client" 2>/dev/null || true # timeout(1) passes it on
  [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

failed() { # WHAT: natively the demo itself is broken; under the shim go on, and say so at the end
  printf '  FAILED: %s\n' "$1"
  failures+=("$1")
}

# launch HOW COMMAND...: becomes the command; call it in the background or in a subshell
launch() {
  local how=$1
  shift
  if [ "$how" = shim ]; then exec env LD_PRELOAD="$lib" "$@"; else exec "$@"; fi
}

# start HOW SERVER ARGUMENTS...: sets $server and $port
start() {
  : >"$work/out"
  launch "$@" >"$work/out" 2>"$work/err" &
  server=$!
  for _ in $(seq 100); do
    port=$(sed -n 's/^listening on 127.0.0.1:\([0-9]*\)$/\1/p' "$work/out")
    [ -z "$port" ] || return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  kill_server
  return 1
}

kill_server() {
  { kill -KILL "$server" && wait "$server"; } 2>/dev/null || true
  server=''
}

# stop: SIGTERM; the server has to end with status 0, and in silence
stop() {
  local status=0
  kill -TERM "$server" 2>/dev/null || true
  if ! timeout 10 tail --pid="$server" -f /dev/null; then
    kill_server
    reason='SIGTERM did not stop it within 10 seconds'
    return 1
  fi
  { wait "$server" || status=$?; } 2>/dev/null
  server=''
  reason="it ended with status $status after SIGTERM"
  [ "$status" -eq 0 ] || return 1
  reason="it wrote on stderr: $(head -n 1 "$work/err")"
  [ ! -s "$work/err" ]
}

# ---- the servers -----------------------------------------------------------------------------------------------

field() { awk -v key="$1:" '$1 == key {print $2}' "/proc/$server/status" 2>/dev/null || echo 0; }

mebibytes() { awk -v kib="$1" 'BEGIN {printf "%.1f MiB", kib / 1024}'; }

# A row of the table. The load client says "connected" when every connection has had a reply: then all threads are
# there, and half a second later, under load, they are counted.
row() { # HOW SERVER
  local how=$1 threads memory tables kernel rate
  threads=$(field Threads) memory=$(field VmRSS) tables=$(field VmPTE)
  kernel=$((threads * 16))
  wait "$client" || { client=''; return 1; }
  client=''
  rate=$(tail -n 1 "$work/client")
  printf '  %-12s %-7s %8s %11s %12s %14s %11s %12s\n' "$2" "$how" "$threads" "$(mebibytes "$memory")" \
    "$(mebibytes "$tables")" "$(mebibytes "$kernel")" "$(mebibytes $((memory + tables + kernel)))" "$rate"
  [ "$how" = native ] || [ "$threads" -le "$most_threads" ] || failed "$2 under the shim: $threads kernel threads"
}

# compare_server KIND SERVER ARGUMENTS...
compare_server() {
  local kind=$1 name=$2 how
  shift 2
  for how in "${hows[@]}"; do
    if ! start "$how" "$apps/$name" "$@"; then
      failed "$name, $how, did not start: $(head -n 1 "$work/err")"
      continue
    fi
    : >"$work/client"
    timeout $((seconds + 60)) "$apps/load_client" "$kind" "$port" "$connections" "$seconds" / "$work/www/index.html" \
      >"$work/client" 2>"$work/client_err" &
    client=$!
    until grep -q connected "$work/client" || ! kill -0 "$client" 2>/dev/null; do sleep 0.1; done
    sleep 0.5
    if ! row "$how" "$name"; then
      failed "$name, $how: $(head -n 1 "$work/client_err")"
    fi
    stop || failed "$name, $how: $reason"
  done
}

show_servers() {
  cat <<TEXT

1. Three ordinary servers with $connections connections each
   echo and http have one thread a connection, chat has two. Every reply is checked.
   kernel stacks: an estimate, 16 KiB a kernel thread (x86-64); together: the three columns before it.
   requests/s: echoed messages, files, chat lines delivered. The load client shares the machine with the server.

  server       run      threads      memory  page tables  kernel stacks    together   requests/s
TEXT
  compare_server echo echo_server
  compare_server http http_server "$work/www"
  compare_server chat chat_server
}

# ---- the other programs ----------------------------------------------------------------------------------------

show_fetcher() {
  local how answers=()
  printf '\n2. A client that starts 500 threads, one a request\n'
  start native "$apps/http_server" "$work/www" || die "http_server did not start"
  for how in "${hows[@]}"; do
    answers+=("$( (launch "$how" timeout 30 "$apps/fetcher" "http://127.0.0.1:$port/" 500) 2>&1)") ||
      failed "fetcher, $how"
    printf '  %-7s %s\n' "$how" "${answers[-1]}"
  done
  stop || failed "http_server, native: $reason"
  [ "${answers[0]}" = "${answers[-1]}" ] || failed "fetcher: natively and under the shim the answers differ"
}

# The status of a program that is expected to die, its stderr in $work/err; the shell's own message is dropped.
status_of() {
  local status=0
  { (ulimit -c 0 && launch "$@" >/dev/null 2>"$work/err") || status=$?; } 2>/dev/null
  echo "$status"
}

show_overflow() {
  local status
  printf '\n3. A thread that overflows its stack\n'
  status=$(status_of native timeout 30 "$apps/overflow")
  echo "  natively the program dies of SIGSEGV (status $status) and says nothing."
  [ "$status" -eq 139 ] || failed "overflow, native: status $status instead of 139"
  with_shim || return 0
  status=$(COSHIM_STACK_SIZE=256K status_of shim timeout 30 "$apps/overflow")
  echo "  Under the shim it dies the same way (status $status), but the thread is named first:"
  head -n 4 "$work/err" | sed 's/^/    /'
  [ "$status" -eq 139 ] || failed "overflow, shim: status $status instead of 139"
  grep -q parse_deeply_nested_input "$work/err" || failed "overflow, shim: the report does not name the thread"
}

show_deadlock() {
  local how
  printf '\n4. A program in a deadlock\n'
  for how in "${hows[@]}"; do
    : >"$work/out"
    COSHIM_DUMP_SIGNAL=USR2 COSHIM_DUMP_PATH=$work/dump launch "$how" "$apps/deadlock" >"$work/out" 2>"$work/err" &
    server=$!
    sleep 1
    if ! grep -q started "$work/out" || ! kill -0 "$server" 2>/dev/null; then failed "deadlock, $how: did not hang"; fi
    if [ "$how" = native ]; then
      echo "  natively: $(field Threads) threads, and no word about what they wait for."
    else
      show_dump
    fi
    kill_server
  done
}

show_dump() {
  kill -USR2 "$server" 2>/dev/null || true
  for _ in $(seq 100); do
    if grep -q 'end of dump' "$work/dump" 2>/dev/null; then break; fi
    sleep 0.1
  done
  if ! grep -q 'end of dump' "$work/dump" 2>/dev/null; then
    failed "deadlock, shim: no whole dump within 10 seconds"
    return 0
  fi
  echo "  Under the shim, kill -s USR2 (COSHIM_DUMP_SIGNAL) makes it write this to COSHIM_DUMP_PATH. \"held by\" leads"
  echo "  from each of the first two threads to the other. Frames of libcoshim.so itself are left out here."
  echo
  grep -v '(libcoshim.so)$' "$work/dump" | sed 's/^/    /'
  [ "$(grep -c '^  thread .* waiting for mutex .* held by thread .*(DEADLOCK)$' "$work/dump")" -eq 2 ] ||
    failed "deadlock, shim: the dump lacks the two that wait for each other's lock"
  local name
  for name in transfer_money rotate_journal; do
    grep -q "$name" "$work/dump" || failed "deadlock, shim: the dump does not name $name"
  done
}

# ---- all of it -------------------------------------------------------------------------------------------------

install_packages
build
raise_descriptor_limit
mkdir "$work/www"
printf '<html><body><h1>Hello</h1>%s</body></html>\n' "$(head -c 700 /dev/zero | tr '\0' x)" >"$work/www/index.html"

with_shim || echo "native only: the shim is left out"
show_servers
show_fetcher
show_overflow
show_deadlock

echo
if [ "${#failures[@]}" -gt 0 ]; then
  printf 'demo_apps/run.sh: %d failed:\n' "${#failures[@]}" >&2
  printf '  %s\n' "${failures[@]}" >&2
  exit 1
fi
echo "All runs gave the right answers and stopped cleanly."
