# What the scripts of the cases share. They run natively and preloaded, servers and clients alike, in an empty directory;
# what they print has to be the same. PORTS: ten free ports. THREADS: what `threads` found, for the runner to judge.
set -u
read -ra PORTS <<<"$PORTS"
umask 022

# Waits until somebody listens on the port.
up() {
  local i
  for ((i = 0; i < 600; i++)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.1
  done
  echo "nobody listens on a port"
}

# Waits for a process to end (60 s), kills it otherwise, and shows its status.
ended() {
  local i
  for ((i = 0; i < 600; i++)); do
    kill -0 "$2" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$2" 2>/dev/null && echo "$1 did not end"
  wait "$2"
  echo "$1 ended with $?"
}
stop() {
  kill "-${3:-TERM}" "$2"
  ended "$1" "$2"
}

# Notes how many kernel threads the process and its children have.
threads() {
  local pid
  for pid in "$2" $(pgrep -P "$2"); do
    echo "$1 $(sed -n 's/^Threads:[[:space:]]*//p' "/proc/$pid/status")" >>"$THREADS"
  done
}

# Runs `$1 NUMBER` for 1..$2 at once, then shows all their outputs in order.
at_once() {
  local i jobs=()
  mkdir -p outputs
  for ((i = 1; i <= $2; i++)); do
    "$1" "$i" >"outputs/$i" 2>&1 &
    jobs+=($!)
  done
  wait "${jobs[@]}"
  for ((i = 1; i <= $2; i++)); do cat "outputs/$i"; done
  rm -r outputs
}

certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out certificate.pem -days 2 \
    -subj /CN=localhost 2>/dev/null
  cat key.pem certificate.pem >both.pem
}

documents() {
  mkdir -p root
  for size in 10 5000 1000000; do seq -f '%09g' 1 200000 | head -c "$size" >"root/f$size"; done
  touch -d @1000000000 root/*
}

# What of ab's report does not depend on the time.
load() {
  ab -q "$@" 2>&1 | grep -E '^(Complete requests|Failed requests|Non-2xx|HTML transferred)|rror'
}
