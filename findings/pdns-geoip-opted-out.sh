#!/usr/bin/env bash
# PowerDNS' geoip backend places a client that opts out of client subnet at 0.0.0.0.
#
# Guess: for a source prefix of 0 (how a client opts out, RFC 7871 section 7.1.2) the address that the query came from is
#   looked up, as in gdnsd, and the answer has scope 0.
# Instead: the address of the option, 0.0.0.0, is looked up; the resolver that is well known to the database becomes
#   "unknown", and the answer has scope 32 for a source of 0, as has every answer for an address that is not found.
# Matters: users whose resolver passes the opt-out on as 0.0.0.0/0 all land in the default region; and a resolver has to hold
#   one answer for each unlocated address instead of one for a network.
# Seen with: pdns-server and pdns-backend-geoip 4.7.3, gdnsd 3.8.1, knot-dnsutils 3.2.6 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
debian pdns-server=4.7.3-2 pdns-backend-geoip=4.7.3-2 gdnsd=3.8.1-1 knot-dnsutils=3.2.6-1 "$writer"
mapfile -t port < <(free_ports 2)
mkdir -p pdns gdnsd/geoip gdnsd/zones
mmdb geo.mmdb 6 127.0.0.0/8=GB/EU 81.2.69.0/24=DE/EU     # the resolver of this finding, at 127.0.0.1, is in Britain
cp geo.mmdb gdnsd/geoip/

cat >pdns/zones.yaml <<'YAML'
domains:
- domain: example.com
  ttl: 60
  records:
    example.com: [{soa: ns1.example.com mail.example.com 1 7200 3600 86400 60}]
    gb.example.com: [{a: 192.0.2.44}]
    de.example.com: [{a: 192.0.2.49}]
    unknown.example.com: [{a: 192.0.2.1}]
  services: {www.example.com: '%cc.example.com'}
YAML
cat >pdns/pdns.conf <<CONF
launch=geoip
geoip-database-files=mmdb:$lab/geo.mmdb
geoip-zones-file=$lab/pdns/zones.yaml
edns-subnet-processing=yes
local-address=127.0.0.1
local-port=${port[0]}
module-dir=$libraries/pdns
socket-dir=$lab/pdns
security-poll-suffix=
guardian=no
CONF
printf '@ SOA ns1 mail 1 7200 1800 259200 60\n@ NS ns1\nns1 A 127.0.0.1\nwww 60 DYNA geoip!r\n' >gdnsd/zones/example.com
echo "options => { listen => 127.0.0.1:${port[1]}, run_dir => $lab/gdnsd, state_dir => $lab/gdnsd }
plugins => { geoip => { maps => { m => { geoip2_db => geo.mmdb, datacenters => [us, gb, de],
    map => { EU => { GB => [gb], DE => [de], default => [us] }, default => [us] } } },
  resources => { r => { map => m, dcmap => { us => 192.0.2.1, gb => 192.0.2.44, de => 192.0.2.49 } } } } }" >gdnsd/config
start "${port[0]}" pdns.log "$root/usr/sbin/pdns_server" --config-dir=pdns
start "${port[1]}" gdnsd.log "$root/usr/sbin/gdnsd" -c gdnsd start

ask() {  # PORT [SUBNET]: address, then subnet/source/scope
    unpacked "$root/usr/bin/kdig" @127.0.0.1 -p "$1" ${2:++subnet="$2"} www.example.com A |
        awk '/^www.*A/ { address = $NF } /CLIENT-SUBNET/ { subnet = " " $NF } END { print address subnet }'
}
seen "PowerDNS, no client subnet" "$(ask "${port[0]}")" "192.0.2.44"
seen "PowerDNS, 81.2.69.0/24" "$(ask "${port[0]}" 81.2.69.0/24)" "192.0.2.49 81.2.69.0/24/24"
seen "PowerDNS, opted out" "$(ask "${port[0]}" 0.0.0.0/0)" "192.0.2.1 0.0.0.0/0/32"
seen "PowerDNS, a network that is not in the database" "$(ask "${port[0]}" 8.8.8.0/24)" "192.0.2.1 8.8.8.0/24/32"
seen "gdnsd, no client subnet" "$(ask "${port[1]}")" "192.0.2.44"
seen "gdnsd, opted out" "$(ask "${port[1]}" 0.0.0.0/0)" "192.0.2.44 0.0.0.0/0/0"
finished "PowerDNS 4.7.3 looks up 0.0.0.0 for a client that opted out, and calls the answer one for a single address"
