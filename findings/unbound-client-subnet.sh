#!/usr/bin/env bash
# Unbound announces loopback clients as 127.0.0.0/24, and ignores "send-client-subnet" in silence beside an explicit module list.
#
# Guess: addresses that no geo database can know stay at home; an option whose module is not loaded is an error, at least for
#   unbound-checkconf.
# Instead: a client at 127.0.0.1 (a resolver on the same machine, or behind a local dnsdist) is announced as 127.0.0.0/24. With
#   module-config "validator iterator", which stands in many examples, checkconf finds no errors, the server starts without
#   a warning, and no query has the option; Debian's default list has "subnetcache" in front.
# Matters: the clients of a local resolver are nowhere, where without the option the resolver's own address was somewhere (see
#   knot-geoip-scope-zero.sh for what a query from nowhere does); and a test of client subnets can test nothing.
# Seen with: unbound 1.17.1, python3-dnspython 2.3.0 as the server (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
debian unbound=1.17.1-2+deb12u4 python3-dnspython=2.3.0-1+deb12u1 knot-dnsutils=3.2.6-1
mapfile -t port < <(free_ports 3)

cat >server.py <<'PYTHON'
import dns.message, socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", int(sys.argv[1])))
while True:
    data, client = server.recvfrom(4096)
    query = dns.message.from_wire(data)
    print(query.question[0].name, *[option.to_text() for option in query.options] or ["no client subnet"], flush=True)
    server.sendto(dns.message.make_response(query).to_wire(), client)
PYTHON
configuration() {  # PORT LINE
    cat <<CONF
server:
  directory: "$lab"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  interface: 127.0.0.1
  port: $1
  do-not-query-localhost: no
  send-client-subnet: 127.0.0.1
  $2
stub-zone:
  name: "example.com"
  stub-addr: 127.0.0.1@${port[0]}
remote-control:
  control-enable: no
CONF
}
configuration "${port[1]}" 'module-config: "validator iterator"' >listed.conf
configuration "${port[2]}" "" >default.conf
start 0 queries /usr/bin/python3 server.py "${port[0]}"
start "${port[1]}" listed.log "$root/usr/sbin/unbound" -d -c listed.conf
start "${port[2]}" default.log "$root/usr/sbin/unbound" -d -c default.conf
ask() {  # PORT NAME
    unpacked "$root/usr/bin/kdig" @127.0.0.1 -p "$1" +retry=2 "$2.example.com" A >/dev/null
    grep -m 1 "^$2.example.com" queries | cut -d' ' -f2-
}
seen "default modules, a client at 127.0.0.1" "$(ask "${port[2]}" default)" "ECS 127.0.0.0/24 scope/0"
seen '"validator iterator", checkconf' "$(unpacked "$root/usr/sbin/unbound-checkconf" listed.conf 2>&1)" "unbound-checkconf: no errors in listed.conf"
seen '"validator iterator", warnings at start' "$(grep -c -i -E 'warn|error' listed.log || true)" 0
seen '"validator iterator", the same client' "$(ask "${port[1]}" listed)" "no client subnet"
finished "unbound 1.17.1 sends a loopback subnet, and ignores send-client-subnet without its module"
