# apache2 with threads: load with and without keep-alive, TLS, graceful restarts under load, a graceful stop.
. "$CASES/common.sh"
port=${PORTS[0]} tls=${PORTS[1]}
chmod 755 .
documents
certificate
mkdir run
cat >httpd.conf <<END
ServerRoot /usr/lib/apache2
ServerName localhost
PidFile $PWD/run/pid
DefaultRuntimeDir $PWD/run
Mutex posixsem
Listen 127.0.0.1:$port
Listen 127.0.0.1:$tls
LoadModule mpm_${MPM}_module modules/mod_mpm_${MPM}.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule ssl_module modules/mod_ssl.so
LoadModule socache_shmcb_module modules/mod_socache_shmcb.so
LoadModule filter_module modules/mod_filter.so
LoadModule deflate_module modules/mod_deflate.so
ErrorLog $PWD/error.log
User www-data
Group www-data
StartServers 2
ServerLimit 8
ThreadLimit 64
ThreadsPerChild 50
MinSpareThreads 25
MaxSpareThreads 100
MaxRequestWorkers 200
KeepAliveTimeout 5
DocumentRoot $PWD/root
SetOutputFilter DEFLATE
<Directory $PWD/root>
Require all granted
FileETag None
</Directory>
SSLSessionCache shmcb:$PWD/run/ssl(512000)
<VirtualHost 127.0.0.1:$tls>
SSLEngine on
SSLCertificateFile $PWD/certificate.pem
SSLCertificateKeyFile $PWD/key.pem
</VirtualHost>
END
apache2 -f "$PWD/httpd.conf" -DFOREGROUND &
apache=$!
up "$port"
load -k -c 50 -n 3000 "http://127.0.0.1:$port/f5000"
load -c 50 -n 1000 "http://127.0.0.1:$port/f10"
load -c 20 -n 100 "http://127.0.0.1:$port/f1000000"
load -k -c 20 -n 300 "https://127.0.0.1:$tls/f5000"
load -c 20 -n 100 "https://127.0.0.1:$tls/f5000"
get() {
  curl -s "http://127.0.0.1:$port/f1000000" | sha256sum
  curl -sk "https://127.0.0.1:$tls/f1000000" | sha256sum
  curl -s --compressed "http://127.0.0.1:$port/f5000" | sha256sum
  curl -s "http://127.0.0.1:$port/missing"
}
at_once get 10
threads apache2 $apache
restart_under_load() {
  [ "$1" = 1 ] && load -k -c 20 -n 3000 "http://127.0.0.1:$port/f5000"
  [ "$1" = 2 ] && for _ in 1 2 3; do sleep 0.3; kill -USR1 $apache; done
}
at_once restart_under_load 2
sleep 1
curl -s --retry 20 --retry-connrefused "http://127.0.0.1:$port/f10"; echo
kill -HUP $apache
sleep 1
curl -s --retry 20 --retry-connrefused "http://127.0.0.1:$port/f10"; echo
stop apache2 $apache WINCH
sed -E 's/^\[[^]]*\] //; s/[0-9]+/N/g' error.log | grep -vE 'AHN: (SIG|Apache|Graceful|Command line)' | sort -u
