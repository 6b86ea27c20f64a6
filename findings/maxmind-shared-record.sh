#!/usr/bin/env bash
# What npm's maxmind returns is shared with every other address of the same record.
#
# Guess: get() makes an object for each call; what a handler writes into it stays with that request.
# Instead: decoded records are cached by their place in the file, and a writer stores equal records once: a key that is
#   set for one address shows up for addresses of other networks and for later requests.
# Matters: "geo.country.iso_code ??= 'US'" or "geo.region = nearest(geo)" in one request steers all of a country.
# Seen with: maxmind 5.0.7 (npm), a database by libmaxmind-db-writer-perl 0.300003 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
debian "$writer"
npm_packages maxmind@5.0.7
mmdb two.mmdb 6 81.2.69.0/24=GB/EU 2a02:100::/32=GB/EU 91.0.0.0/16=DE/EU

cat >share.js <<'JS'
require("maxmind").open("two.mmdb").then((reader) => {
    reader.get("81.2.69.1").region = "eu-west-2, set for 81.2.69.1";
    for (const address of ["81.2.69.200", "2a02:100::1", "91.0.0.1"]) console.log(address, reader.get(address).region);
});
JS
seen "after get('81.2.69.1').region was set" "$(node share.js | tr '\n' ';')" \
    "81.2.69.200 eu-west-2, set for 81.2.69.1;2a02:100::1 eu-west-2, set for 81.2.69.1;91.0.0.1 undefined;"
finished "maxmind 5.0.7 hands one object to all addresses that share a record"
