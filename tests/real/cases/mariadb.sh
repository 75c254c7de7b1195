# mariadbd, a thread a connection: transactions, locks, time-outs, kills, prepared load, a hundred idle clients, shutdown.
. "$CASES/common.sh"
mariadb-install-db --no-defaults --user="$(id -un)" --datadir="$PWD/data" --auth-root-authentication-method=normal \
  --skip-test-db >/dev/null 2>&1
echo "installed: $?"
mariadbd --no-defaults --user="$(id -un)" --user=root --datadir="$PWD/data" --socket="$PWD/socket" --pid-file="$PWD/pid" \
  --bind-address=127.0.0.1 --port="${PORTS[0]}" --innodb-buffer-pool-size=64M --max-connections=500 \
  --log-error="$PWD/errors" 2>/dev/null &
server=$!
up "${PORTS[0]}"
sql() { mariadb --no-defaults -uroot -S "$PWD/socket" -N -B "$@" 2>&1; }
sql -e "create database d; create table d.t(id int primary key, v int, s varchar(200)) engine=innodb;
        create table d.log(id int auto_increment primary key, c int, n int) engine=innodb"
sql d -e "insert into t select seq, 0, repeat(char(65 + seq % 26), 100) from seq_1_to_2000"
client() {
  for i in $(seq 20); do
    echo "start transaction; update t set v = v + 1 where id = $(((i * $1) % 50 + 1));
          insert into log(c, n) values($1, $i); commit; select count(*) from t where s like 'A%'; select sleep(0.001);"
  done | sql d | sort | uniq -c
}
at_once client 30
sql d -e "select sum(v) from t; select count(*), sum(c), sum(n) from log; check table t, log"
# Who waits for a lock gets it when its holder goes; who waits too long does not.
sql d -e "select get_lock('x', 30), sleep(1)" >holder &
holder=$!
until [ "$(sql -e "select is_free_lock('x')")" = 0 ]; do sleep 0.05; done
sql d -e "select get_lock('x', 0.05); select get_lock('x', 30)"
wait $holder; cat holder
sql d -e "set statement max_statement_time=0.2 for select count(*) from t where v >= 0 and sleep(0.01) = 0"
# A statement that is killed.
sql d -e "select sleep(100)" >killed 2>&1 &
killed=$!
until id=$(sql -e "select id from information_schema.processlist where info = 'select sleep(100)'") && [ -n "$id" ]; do
  sleep 0.05
done
sql -e "kill $id"
wait $killed; echo "killed client: $?"; grep -o 'ERROR [0-9]*' killed
mariadb-slap --no-defaults -uroot -S "$PWD/socket" --concurrency=40 --number-of-queries=1000 --auto-generate-sql \
  --auto-generate-sql-load-type=mixed --auto-generate-sql-guid-primary 2>&1 | grep -E 'clients|per client|rror'
for _ in $(seq 100); do sql -e 'select sleep(30)' >/dev/null & done
until [ "$(sql -e "select count(*) from information_schema.processlist where info = 'select sleep(30)'")" = 100 ]; do
  sleep 0.1
done
threads mariadbd $server
mariadb-admin --no-defaults -uroot -S "$PWD/socket" shutdown; echo "shutdown: $?"
ended mariadbd $server
wait
grep -cE 'ERROR|signal|ssert' errors
