#!/usr/bin/env bash
# mmdb-lib (and with it npm's maxmind) finds IPv6 addresses in an IPv4 database: somebody else's network.
#
# Guess: nothing, or an error as from libmaxminddb ("You attempted to look up an IPv6 address in an IPv4-only database").
# Instead: the first bits of the IPv6 address are walked down the IPv4 tree: 2001:db8::1 has the record of 32.1.0.0/16,
#   and getWithPrefixLength says /16.
# Matters: with an IPv4 half of a split database (dbip-country-ipv4.mmdb and the like) every IPv6 client has a country,
#   a wrong one: all of 2001::/16 is where 32.1.0.0/16 is.
# Seen with: mmdb-lib 3.0.3, maxmind 5.0.7 (npm); libmaxminddb 1.7.1 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
debian "$writer" libmaxminddb0=1.7.1-1 mmdb-bin=1.7.1-1
npm_packages mmdb-lib@3.0.3 maxmind@5.0.7
mmdb v4.mmdb 4 32.1.0.0/16=US/NA 81.2.69.0/24=GB/EU

cat >look.js <<'JS'
const { Reader } = require("mmdb-lib");
const reader = new Reader(require("fs").readFileSync("v4.mmdb"));
const [record, length] = reader.getWithPrefixLength(process.argv[2]);
console.log(record ? record.country.iso_code : "nothing", "/" + length);
JS
cat >open.js <<'JS'
require("maxmind").open("v4.mmdb").then((reader) => console.log(reader.get(process.argv[2])?.country.iso_code ?? "nothing"));
JS
seen "mmdb-lib, 81.2.69.142" "$(node look.js 81.2.69.142)" "GB /24"
seen "mmdb-lib, 2001:db8::1" "$(node look.js 2001:db8::1)" "US /16"
seen "maxmind, 2001:db8::1" "$(node open.js 2001:db8::1)" "US"
seen "libmaxminddb, 2001:db8::1" \
    "$(unpacked "$root/usr/bin/mmdblookup" --file v4.mmdb --ip 2001:db8::1 2>&1 | grep -o 'IPv6 address in an IPv4-only database')" \
    "IPv6 address in an IPv4-only database"
finished "mmdb-lib 3.0.3 answers for an IPv6 address from the IPv4 network that its first 32 bits spell"
