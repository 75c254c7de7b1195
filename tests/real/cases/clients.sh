# curl, wget, git over HTTP, rsync, openssl's s_server and s_client: as clients, and what stands on the other side.
. "$CASES/common.sh"
web=${PORTS[0]} tls=${PORTS[1]} talk=${PORTS[2]} sync=${PORTS[3]} nobody=${PORTS[4]}
documents
certificate
git config --global init.defaultBranch main
git config --global user.name n
git config --global user.email e
(
  git init -q work && cd work || exit
  export GIT_AUTHOR_DATE='@1000000000 +0000' GIT_COMMITTER_DATE='@1000000000 +0000'
  for i in $(seq 20); do echo "$i" >"file$i" && git add . && git commit -q -m "commit $i"; done
  git clone -q --bare . ../root/repository.git && git -C ../root/repository.git update-server-info
)
python3 -u -m http.server --bind 127.0.0.1 --directory root "$web" >web.log 2>&1 &
server=$!
up "$web"
base="http://localhost:$web"

echo "== curl"
for size in 10 5000 1000000; do curl -s "$base/f$size" | sha256sum; done
curl -s -o /dev/null -w '%{http_code} %{size_download} %{num_redirects}\n' -L "$base/repository.git"
curl -s -I "$base/f5000" | grep -i '^content-length'
curl -s -f "$base/missing"; echo "missing: $?"
curl -s "http://localhost:$nobody/"; echo "refused: $?"
curl -s --unix-socket nowhere http://x/; echo "no socket: $?"
curl -s --parallel --parallel-max 8 $(for i in $(seq 12); do echo "-o copy$i $base/f1000000"; done) 2>/dev/null; echo "parallel: $?"
sha256sum copy* | cut -d' ' -f1 | uniq -c
fetch() { curl -s --limit-rate 3M "$base/f1000000" | sha256sum; }
at_once fetch 6

echo "== wget"
wget -q -O - "$base/f5000" | sha256sum
wget -q -O /dev/null "$base/missing"; echo "missing: $?"
wget -q -t 1 -O /dev/null "http://localhost:$nobody/"; echo "refused: $?"
wget -q -r -np -nH -P tree "$base/repository.git/refs/"; find tree -type f | sort
wget -q -i <(for size in 10 5000 1000000; do echo "$base/f$size"; done) -P several; sha256sum several/*

echo "== git"
git clone -q "$base/repository.git" clone; echo "clone: $?"
git -C clone log --format=%H | sha256sum
git -C clone fsck --full 2>&1 | sort
git -C clone fetch -q; echo "fetch: $?"
git ls-remote "$base/repository.git" | sort
git clone -q "$base/missing.git" 2>/dev/null; echo "missing: $?"
threads http.server $server
stop http.server $server

echo "== openssl"
(cd root && exec openssl s_server -quiet -WWW -accept "127.0.0.1:$tls" -key ../key.pem -cert ../certificate.pem) >s_server.log 2>&1 &
server=$!
up "$tls"
secure() { curl -s --cacert certificate.pem "https://localhost:$tls/f1000000" | sha256sum; }
at_once secure 4
wget -q --ca-certificate=certificate.pem -O - "https://localhost:$tls/f5000" | sha256sum
printf 'GET /f10 HTTP/1.0\r\n\r\n' | openssl s_client -quiet -CAfile certificate.pem -connect "localhost:$tls" 2>/dev/null | tail -c 10
echo
stop s_server $server
openssl s_server -quiet -rev -accept "127.0.0.1:$talk" -key key.pem -cert certificate.pem >rev.log 2>&1 &
server=$!
up "$talk"
reverse() {
  local answer
  coproc client { exec openssl s_client -quiet -connect "localhost:$talk" 2>/dev/null; }
  echo "line $1 of several" >&"${client[1]}"
  IFS= read -r -t 60 answer <&"${client[0]}"
  echo "$answer"
  kill "$client_PID"
  wait "$client_PID"
}
reverse 1
reverse 2
stop s_server $server
openssl s_client -connect "localhost:$nobody" >/dev/null 2>&1 </dev/null; echo "refused: $?"

echo "== rsync"
cat >rsyncd.conf <<END
use chroot = no
pid file = $PWD/rsyncd.pid
[root]
path = $PWD/root
read only = no
uid = $(id -u)
gid = $(id -g)
END
rsync --daemon --no-detach --config=rsyncd.conf --address=127.0.0.1 --port="$sync" >rsyncd.log 2>&1 &
server=$!
up "$sync"
rsync -a "rsync://localhost:$sync/root/" mirror; echo "copy: $?"
diff -r root mirror && echo same
seq 300000 >mirror/new
rm mirror/f10
rsync -a --delete mirror/ "rsync://localhost:$sync/root/"; echo "back: $?"
diff -r root mirror && echo same
rsync -a --checksum --compress root/ local; echo "local: $?"
diff -r root local && echo same
rsync -q "rsync://localhost:$sync/missing/" 2>/dev/null; echo "missing: $?"
rsync -q "rsync://localhost:$nobody/root/" 2>/dev/null; echo "refused: $?"
stop rsync $server
