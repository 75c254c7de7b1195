# PostgreSQL: processes, shared memory and semaphores; pgbench with threads. As root, the server runs as postgres.
. "$CASES/common.sh"
chmod 755 .
programs=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
mkdir data
as_server=()
if [ "$(id -u)" = 0 ]; then
  chown postgres data
  as_server=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi
"${as_server[@]}" "$programs/initdb" -D "$PWD/data" -A trust -U postgres -N >/dev/null 2>&1; echo "initdb: $?"
"${as_server[@]}" "$programs/postgres" -D "$PWD/data" -p "${PORTS[0]}" -k '' -c listen_addresses=127.0.0.1 >server.log 2>&1 &
server=$!
at=(-h 127.0.0.1 -p "${PORTS[0]}" -U postgres)
until psql "${at[@]}" -c 'select 1' >/dev/null 2>&1; do sleep 0.1; kill -0 $server || break; done
sql() { psql "${at[@]}" -Atq -c "$1"; }
sql "create table t(a int, b text); insert into t select i, repeat('x', i % 100) from generate_series(1, 20000) i"
"$programs/pgbench" "${at[@]}" -i -q postgres >/dev/null 2>&1
"$programs/pgbench" "${at[@]}" -c 16 -j 4 -t 20 postgres 2>&1 | grep -E 'actually processed|failed'
sql 'select sum(abalance) = (select sum(bbalance) from pgbench_branches) from pgbench_accounts'
sql "set max_parallel_workers_per_gather = 4; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
     set min_parallel_table_scan_size = 0; select count(*), sum(length(b)) from t"
stop postgres $server INT
