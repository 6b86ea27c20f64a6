#!/usr/bin/env bash
# Russia, Turkey, Cyprus and Timor-Leste change their continent with the package that is asked.
#
# Guess: the continent of a country is settled: MaxMind's codes (AF AN AS EU NA OC SA) mean the same in every package that
#   uses them.
# Instead: MaxMind's C library (legacy GeoIP in nginx and PowerDNS) has CY AS, RU EU, TL AS, TR EU; countries-list has CY EU,
#   RU AS, TL OC, TR AS; geoip-country, which packs MaxMind's country data, takes countries-list's word for the continent.
#   GeoNames, the source of newer databases, is a third opinion: CY EU, RU EU, TL OC, TR AS.
# Matters: a rule "continent EU stays in Frankfurt" gains or loses Russia and Turkey when the lookup library changes. Name
#   countries where it counts.
# Seen with: libgeoip1 1.6.12 (Debian 12); countries-list 3.4.1, geoip-country 5.0.202609260156 (npm).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
debian libgeoip1=1.6.12-10
npm_packages countries-list@3.4.1 geoip-country@5.0.202609260156

node -e 'for (const [code, country] of Object.entries(require("countries-list").countries)) console.log(code, country.continent)' | sort >list
cat >geoip.py <<'PYTHON'
import ctypes, sys
library = ctypes.CDLL("libGeoIP.so.1")
library.GeoIP_continent_by_id.restype = ctypes.c_char_p
for line in open("list"):
    number = library.GeoIP_id_by_code(line.split()[0].encode())
    if number:
        print(line.split()[0], library.GeoIP_continent_by_id(number).decode())
PYTHON
unpacked /usr/bin/python3 geoip.py | sort >geoip
seen "countries that both know: more than 240" "$([ "$(wc -l <geoip)" -gt 240 ] && echo yes)" yes
seen "country, continent in libGeoIP, in countries-list" "$(join geoip list | awk '$2 != $3' | paste -sd ';')" "CY AS EU;RU EU AS;TL AS OC;TR EU AS"
seen "geoip-country of an address in Russia" "$(node -p 'const { country, continent } = require("geoip-country").lookup("77.88.55.60"); country + " " + continent')" "RU AS"
finished "the continent of a country depends on the package"
