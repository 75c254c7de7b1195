# haproxy with threads, varnish and squid (with its disk threads), in front of nginx with a thread pool.
. "$CASES/common.sh"
chmod 777 .
documents
certificate
mkdir run; chmod 777 run
backend=${PORTS[0]} plain=${PORTS[1]} tls=${PORTS[2]} varnish=${PORTS[3]} squid=${PORTS[4]}
cat >nginx.conf <<END
daemon off; worker_processes 2; pid $PWD/nginx.pid; error_log $PWD/nginx.log; thread_pool default threads=8;
events { worker_connections 1024; }
http { access_log off; client_body_temp_path $PWD/b; proxy_temp_path $PWD/p; fastcgi_temp_path $PWD/f;
uwsgi_temp_path $PWD/u; scgi_temp_path $PWD/s;
server { listen 127.0.0.1:$backend; root $PWD/root; aio threads; directio 4k; } }
END
nginx -e "$PWD/nginx.log" -c "$PWD/nginx.conf" &
nginx=$!
cat >haproxy.conf <<END
global
  nbthread 4
  maxconn 2000
defaults
  mode http
  timeout connect 30s
  timeout client 60s
  timeout server 60s
frontend f
  bind 127.0.0.1:$plain
  bind 127.0.0.1:$tls ssl crt $PWD/both.pem
  default_backend b
backend b
  server s1 127.0.0.1:$backend
  server s2 127.0.0.1:$backend
END
haproxy -f haproxy.conf -W 2>haproxy.log &
haproxy=$!
varnishd -F -a "127.0.0.1:$varnish" -b "127.0.0.1:$backend" -n "$PWD/run/varnish" -s malloc,20M -p thread_pool_min=10 \
  -j none >varnish.log 2>&1 &
varnishd=$!
cat >squid.conf <<END
http_port 127.0.0.1:$squid
pid_filename $PWD/run/squid.pid
cache_log $PWD/run/squid.log
access_log none
cache_dir aufs $PWD/run/cache 20 4 4
cache_mem 1 MB
maximum_object_size_in_memory 1 KB
coredump_dir $PWD/run
http_access allow all
shutdown_lifetime 1 seconds
pinger_enable off
END
mkdir run/cache; [ "$(id -u)" != 0 ] || chown proxy run/cache
squid -N -z -f squid.conf >squid.log 2>&1
squid -N -f squid.conf >>squid.log 2>&1 &
squid_pid=$!
for port in "$backend" "$plain" "$varnish" "$squid"; do up "$port"; done
for port in "$backend" "$plain" "$varnish"; do
  load -c 30 -n 500 "http://127.0.0.1:$port/f10"
  load -c 30 -n 500 "http://127.0.0.1:$port/f5000"
  load -k -c 30 -n 100 "http://127.0.0.1:$port/f1000000"
  curl -s "http://127.0.0.1:$port/f1000000" | sha256sum
done
load -c 20 -n 100 "https://127.0.0.1:$tls/f5000"
load -X "127.0.0.1:$squid" -c 30 -n 300 "http://127.0.0.1:$backend/f5000"
load -X "127.0.0.1:$squid" -c 10 -n 50 "http://127.0.0.1:$backend/f1000000"
through_squid() { curl -s -x "http://127.0.0.1:$squid" "http://127.0.0.1:$backend/f1000000" | sha256sum; }
at_once through_squid 5
threads nginx $nginx
threads haproxy $haproxy
threads varnishd $varnishd
threads squid $squid_pid
stop varnishd $varnishd
stop squid $squid_pid
stop haproxy $haproxy
stop nginx $nginx QUIT
