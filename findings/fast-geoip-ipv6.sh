#!/usr/bin/env bash
# fast-geoip places IPv6 clients in France or Australia, whatever their address.
#
# Guess: null for what it has no data of, as from geoip-lite, which it is made to replace.
# Instead: the address goes through parseInt as if it were dotted decimal: 2a02:... is "2" and falls into 2.0.0.0/8 (FR),
#   2606:... is above 255 and falls into the last range of the file, 224.0.0.0 to 255.255.255.255, which says AU. Private
#   IPv4 addresses have a country as well: 10.0.0.1 is in the US.
# Matters: an IPv6 client of any country is steered or refused as a French or an Australian one; nothing says "unknown".
# Seen with: fast-geoip 1.1.88 (npm).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
npm_packages fast-geoip@1.1.88

country() { node -e 'require("fast-geoip").lookup(process.argv[1]).then((place) => console.log(place && place.country))' "$1"; }
seen "81.2.69.142 (GB)" "$(country 81.2.69.142)" GB
seen "2a02:26f0::1 (an IPv6 network in Europe)" "$(country 2a02:26f0::1)" FR
seen "2606:4700::1111 (one in North America)" "$(country 2606:4700::1111)" AU
seen "2400:cb00::1 (one in Asia)" "$(country 2400:cb00::1)" AU
seen "10.0.0.1 (private)" "$(country 10.0.0.1)" US
finished "fast-geoip 1.1.88 reads an IPv6 address as an IPv4 one and never says that it does not know"
