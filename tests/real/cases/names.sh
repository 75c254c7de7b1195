# Name servers: bind's threads, unbound with four threads asking it, dnsmasq; dig, host and delv as clients.
. "$CASES/common.sh"
chmod 777 .
named_port=${PORTS[0]} unbound_port=${PORTS[1]} dnsmasq_port=${PORTS[2]}
{
  printf '$TTL 60\n@ IN SOA ns.test. a.test. 1 60 60 60 60\n@ IN NS ns.test.\nns IN A 127.0.0.1\n'
  for i in $(seq 200); do echo "h$i IN A 10.0.0.$i"; done
} >zone
cat >named.conf <<END
options { directory "$PWD"; listen-on port $named_port { 127.0.0.1; }; listen-on-v6 { none; }; pid-file "$PWD/pid";
session-keyfile "$PWD/key"; recursion no; dnssec-validation no; };
controls {};
zone "test" { type master; file "$PWD/zone"; };
END
named -g -n 4 -c named.conf >named.log 2>&1 &
named=$!
cat >unbound.conf <<END
server:
  interface: 127.0.0.1
  port: $unbound_port
  num-threads: 4
  username: ""
  chroot: ""
  directory: "$PWD"
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  module-config: "iterator"
  local-zone: "test." nodefault
remote-control:
  control-enable: no
stub-zone:
  name: "test"
  stub-addr: 127.0.0.1@$named_port
END
unbound -d -c unbound.conf >unbound.log 2>&1 &
unbound=$!
dnsmasq -k -C /dev/null -p "$dnsmasq_port" -a 127.0.0.1 --bind-interfaces --no-resolv --no-hosts \
  -S "/test/127.0.0.1#$named_port" -x "$PWD/dnsmasq.pid" >dnsmasq.log 2>&1 &
dnsmasq=$!
for port in "$named_port" "$unbound_port" "$dnsmasq_port"; do up "$port"; done
for port in "$named_port" "$unbound_port" "$dnsmasq_port"; do
  for _ in $(seq 300); do [ -n "$(dig @127.0.0.1 -p "$port" +short h1.test)" ] && break; sleep 0.1; done
done
for i in $(seq 100); do echo "h$i.test A"; done >questions
ask() { for i in $(seq 60); do echo "h$(((i * $1) % 200 + 1)).test A"; done | dig @127.0.0.1 -p "$port" +short -f - +tcp +timeout=30; }
for port in "$named_port" "$unbound_port" "$dnsmasq_port"; do
  dig @127.0.0.1 -p "$port" +short -f questions +tries=5 +timeout=10
  at_once ask 8
done
threads named $named
threads unbound $unbound
host -p "$named_port" h7.test 127.0.0.1 | tail -1
echo 'new IN A 10.9.9.9' >>zone
sed -i 's/ 1 60/ 2 60/' zone
kill -HUP $named
for _ in $(seq 100); do [ -n "$(dig @127.0.0.1 -p "$named_port" +short new.test)" ] && break; sleep 0.1; done
dig @127.0.0.1 -p "$unbound_port" +short new.test
stop unbound $unbound
stop dnsmasq $dnsmasq
stop named $named
