# slapd with its thread pool, mosquitto; ten LDAP clients that search and modify at once, four subscribers.
. "$CASES/common.sh"
port=${PORTS[0]} broker=${PORTS[1]}
mkdir data
cat >slapd.conf <<END
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile $PWD/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
threads 16
database mdb
suffix "dc=t"
rootdn "cn=a,dc=t"
rootpw s
directory $PWD/data
index objectClass eq
END
slapd -f slapd.conf -h "ldap://127.0.0.1:$port" -d 0 >slapd.log 2>&1 &
slapd=$!
up "$port"
at=(-x -H "ldap://127.0.0.1:$port")
{
  printf 'dn: dc=t\nobjectClass: dcObject\nobjectClass: organization\no: t\ndc: t\n\n'
  for i in $(seq 100); do printf 'dn: cn=u%d,dc=t\nobjectClass: inetOrgPerson\nsn: s%d\ncn: u%d\nmail: m%d@t\n\n' "$i" "$i" "$i" "$i"; done
} >entries
ldapadd "${at[@]}" -D cn=a,dc=t -w s -f entries
client() {
  local i
  for i in $(seq 5); do
    ldapsearch "${at[@]}" -LLL -b dc=t "(sn=s$1)" mail
    printf 'dn: cn=u%d,dc=t\nchangetype: modify\nreplace: mail\nmail: new%d@t\n' "$1" "$i" | ldapmodify "${at[@]}" -D cn=a,dc=t -w s
  done
}
at_once client 10
ldapsearch "${at[@]}" -LLL -b dc=t "(cn=u1*)" mail | sort | sha256sum
threads slapd $slapd
stop slapd $slapd
printf 'listener %d 127.0.0.1\nallow_anonymous true\nuser %s\n' "$broker" "$(id -un)" >mosquitto.conf
mosquitto -c mosquitto.conf >mosquitto.log 2>&1 &
mosquitto=$!
up "$broker"
talk() {
  mosquitto_sub -p "$broker" -t "t/$1" -C 50 -W 60 -q 1 >"heard$1" &
  # A message that is kept shows that the subscription stands.
  until grep -q . "heard$1"; do mosquitto_pub -p "$broker" -t "t/$1" -m 0; sleep 0.1; done
  seq 60 | mosquitto_pub -p "$broker" -t "t/$1" -l -q 1
  wait
  grep -v '^0$' "heard$1" | head -n 20
}
at_once talk 4
stop mosquitto $mosquitto
