# icecast2 with a source and listeners.
. "$CASES/common.sh"
port=${PORTS[0]}
chmod 777 .
mkdir -m 777 log
cat >icecast.xml <<END
<icecast><limits><clients>100</clients><sources>4</sources></limits><authentication><source-password>s</source-password>
<admin-user>a</admin-user><admin-password>p</admin-password></authentication><hostname>localhost</hostname>
<listen-socket><port>$port</port><bind-address>127.0.0.1</bind-address></listen-socket>
<paths><logdir>$PWD/log</logdir><webroot>/usr/share/icecast2/web</webroot><adminroot>/usr/share/icecast2/admin</adminroot></paths>
<security><chroot>0</chroot><changeowner><user>nobody</user><group>nogroup</group></changeowner></security></icecast>
END
icecast2 -c icecast.xml >icecast.log 2>&1 &
icecast=$!
up "$port"
ffmpeg -v error -f lavfi -i anoisesrc=d=300 -c:a libvorbis -f ogg -y tone.ogg
curl -s -T tone.ogg --limit-rate 8k -u source:s -H 'Content-Type: application/ogg' "http://127.0.0.1:$port/tone.ogg" >source.log &
source=$!
until curl -s "http://127.0.0.1:$port/status-json.xsl" | grep -q tone.ogg; do sleep 0.1; done
listen() { curl -s "http://127.0.0.1:$port/tone.ogg" | head -c 4; echo; }
at_once listen 10
status() { curl -s -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:$port/status-json.xsl"; }
at_once status 20
threads icecast2 $icecast
kill $source 2>/dev/null
stop icecast2 $icecast
