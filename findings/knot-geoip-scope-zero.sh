#!/usr/bin/env bash
# One client that Knot DNS cannot place makes a resolver forget everybody's place.
#
# Guess: for a client subnet that matches no geo rule, mod-geoip's default answer has a scope of that subnet (gdnsd), or at
#   worst of one address (PowerDNS).
# Instead: the answer is the zone's own record with SCOPE PREFIX-LENGTH 0, "the same for every address". Unbound believes it,
#   also where it already holds a scoped answer: for the rest of the TTL subnets in Britain get the default, though Knot,
#   asked itself, still tells them apart. Mode "subnet" does the same.
# Matters: one query from an unlocated network per TTL switches geo steering off behind each resolver that forwards client
#   subnets. Until Knot narrows the scope only a short TTL limits it; a rule for 0.0.0.0/0 has scope 0 as well.
# Seen with: knot 3.2.6, knot-module-geoip 3.2.6, unbound 1.17.1 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
debian knot=3.2.6-1 knot-module-geoip=3.2.6-1 knot-dnsutils=3.2.6-1 unbound=1.17.1-2+deb12u4 "$writer"
mapfile -t port < <(free_ports 2)
mmdb geo.mmdb 6 81.2.69.0/24=GB/EU

printf '@ 60 SOA ns1 mail 1 7200 1800 259200 60\n@ 60 NS ns1\nns1 60 A 127.0.0.1\nwww 60 A 192.0.2.1\n' >example.com.zone
printf 'www.example.com:\n  - geo: GB\n    A: 192.0.2.44\n' >geo.conf
cat >knot.conf <<CONF
module:
  - id: mod-geoip
    file: $libraries/knot/modules-3.2/geoip.so
server:
    rundir: $lab
    listen: 127.0.0.1@${port[0]}
    edns-client-subnet: on
database:
    storage: $lab
mod-geoip:
  - id: g
    config-file: $lab/geo.conf
    ttl: 60
    mode: geodb
    geodb-file: $lab/geo.mmdb
    geodb-key: country/iso_code
zone:
  - domain: example.com
    storage: $lab
    file: example.com.zone
    module: mod-geoip/g
CONF
cat >unbound.conf <<CONF
server:
  directory: "$lab"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  interface: 127.0.0.1
  port: ${port[1]}
  do-not-query-localhost: no
  module-config: "subnetcache iterator"
  send-client-subnet: 127.0.0.1
stub-zone:
  name: "example.com"
  stub-addr: 127.0.0.1@${port[0]}
CONF
start "${port[0]}" knot.log "$root/usr/sbin/knotd" -c knot.conf
start "${port[1]}" unbound.log "$root/usr/sbin/unbound" -d -c unbound.conf

ask() {  # PORT SUBNET: address, then subnet/source/scope
    unpacked "$root/usr/bin/kdig" @127.0.0.1 -p "$1" +subnet="$2" www.example.com A |
        awk '/^www.*A/ { address = $NF } /CLIENT-SUBNET/ { subnet = " " $NF } END { print address subnet }'
}
seen "Knot for a subnet in Britain" "$(ask "${port[0]}" 81.2.69.0/24)" "192.0.2.44 81.2.69.0/24/24"
seen "Knot for one that it cannot place" "$(ask "${port[0]}" 8.8.8.0/24)" "192.0.2.1 8.8.8.0/24/0"
seen "Unbound for a subnet in Britain" "$(ask "${port[1]}" 81.2.69.0/24)" "192.0.2.44 81.2.69.0/24/24"
seen "Unbound for one that Knot cannot place" "$(ask "${port[1]}" 8.8.8.0/24)" "192.0.2.1 8.8.8.0/24/0"
seen "Unbound for the subnet in Britain again" "$(ask "${port[1]}" 81.2.69.0/24)" "192.0.2.1 81.2.69.0/24/0"
seen "Knot for the subnet in Britain again" "$(ask "${port[0]}" 81.2.69.0/24)" "192.0.2.44 81.2.69.0/24/24"
finished "an unmatched client subnet is answered with scope 0, and Unbound then gives that answer to all"
