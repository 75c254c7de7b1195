# rsyslogd with four queue workers, sshd with clients, cupsd.
. "$CASES/common.sh"
log=${PORTS[0]} ssh=${PORTS[1]} cups=${PORTS[2]}
cat >rsyslog.conf <<END
global(workDirectory="$PWD")
module(load="imtcp")
input(type="imtcp" port="$log" address="127.0.0.1")
main_queue(queue.workerThreads="4" queue.type="LinkedList")
template(name="m" type="string" string="%msg%\n")
action(type="omfile" file="$PWD/messages" template="m")
END
rsyslogd -n -f rsyslog.conf -i "$PWD/rsyslog.pid" >rsyslog.log 2>&1 &
rsyslogd=$!
up "$log"
speak() { for i in $(seq 200); do echo "<13>Jan  1 00:00:00 h t: m$1-$i"; done >"/dev/tcp/127.0.0.1/$log"; }
at_once speak 5
for _ in $(seq 300); do [ "$(cat messages 2>/dev/null | wc -l)" -ge 1000 ] && break; sleep 0.1; done
threads rsyslogd $rsyslogd
stop rsyslogd $rsyslogd
sort messages | sha256sum
mkdir -p /run/sshd 2>/dev/null
ssh-keygen -q -t ed25519 -N '' -f host_key
ssh-keygen -q -t ed25519 -N '' -f client_key
cp client_key.pub allowed
sshd=$(command -v sshd)
"$sshd" -D -e -f /dev/null -p "$ssh" -h "$PWD/host_key" -o "AuthorizedKeysFile=$PWD/allowed" -o StrictModes=no \
  -o UsePAM=no -o PidFile=none -o ListenAddress=127.0.0.1 -o PermitRootLogin=yes -o 'Subsystem=sftp internal-sftp' >sshd.log 2>&1 &
daemon=$!
up "$ssh"
options=(-q -F /dev/null -i client_key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null)
remote() { ssh "${options[@]}" -p "$ssh" "$(id -un)@127.0.0.1" "$1"; }
remote 'wc -c; exit 3' <"$sshd"; echo "ssh: $?"
count() { remote "seq $1 1000 | tail -1"; }
at_once count 5
scp "${options[@]}" -P "$ssh" "$sshd" "$(id -un)@127.0.0.1:$PWD/copy"; cmp "$sshd" copy && echo copied
stop sshd $daemon
mkdir -p cups/request cups/cache cups/tmp
printf 'Listen 127.0.0.1:%d\nLogLevel warn\n<Location />\nAllow all\n</Location>\n' "$cups" >cups/cupsd.conf
for pair in ServerRoot: RequestRoot:/request CacheDir:/cache StateDir: AccessLog:/a ErrorLog:/e PageLog:/p TempDir:/tmp; do
  echo "${pair%%:*} $PWD/cups${pair#*:}"
done >cups/cups-files.conf
cupsd -f -c "$PWD/cups/cupsd.conf" -s "$PWD/cups/cups-files.conf" >cups.log 2>&1 &
cupsd=$!
up "$cups"
lpstat -h "127.0.0.1:$cups" -r
curl -s -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:$cups/"
stop cupsd $cupsd
