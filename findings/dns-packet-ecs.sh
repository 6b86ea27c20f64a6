#!/usr/bin/env bash
# dns-packet sends client subnets whose address is longer than their prefix; strict servers answer FORMERR.
#
# Guess: {ip: "192.0.2.55", sourcePrefixLength: 20} goes out as 192.0.0.0/20, as from dig, kdig and dnspython.
# Instead: only whole octets are cut: the option says /20 and carries 192.0.2, against RFC 7871 section 6. gdnsd refuses the
#   whole query with FORMERR, Knot DNS answers it. Without sourcePrefixLength the prefix is 0 and the given
#   address is left out: no error, and the test asks for "no place at all".
# Matters: a geo DNS test or a DoH front in node works against one vendor's servers and fails with another's, for prefixes
#   that are no multiple of 8 (/20, /22 and /23 are common, /56 is not hit).
# Seen with: dns-packet 5.6.1 (npm); gdnsd 3.8.1, knot 3.2.6, python3-dnspython 2.3.0 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
debian gdnsd=3.8.1-1 knot=3.2.6-1 python3-dnspython=2.3.0-1+deb12u1
npm_packages dns-packet@5.6.1
mapfile -t port < <(free_ports 2)

mkdir -p gdnsd/zones
printf '@ 60 SOA ns1 mail 1 7200 1800 259200 60\n@ 60 NS ns1\nns1 60 A 127.0.0.1\nwww 60 A 192.0.2.1\n' |
    tee example.com.zone >gdnsd/zones/example.com
echo "options => { listen => 127.0.0.1:${port[0]}, run_dir => $lab/gdnsd, state_dir => $lab/gdnsd }" >gdnsd/config
cat >knot.conf <<CONF
server:
    rundir: $lab
    listen: 127.0.0.1@${port[1]}
    edns-client-subnet: on
database:
    storage: $lab
zone:
  - domain: example.com
    storage: $lab
    file: example.com.zone
CONF
start "${port[0]}" gdnsd.log "$root/usr/sbin/gdnsd" -c gdnsd start
start "${port[1]}" knot.log "$root/usr/sbin/knotd" -c knot.conf

cat >ask.js <<'JS'
const packet = require("dns-packet");
const [port, ip, length] = process.argv.slice(2);
const option = { code: "CLIENT_SUBNET", ip, ...(length && { sourcePrefixLength: Number(length) }) };
const query = packet.encode({ type: "query", id: 7, questions: [{ type: "A", name: "www.example.com" }],
    additionals: [{ type: "OPT", name: ".", udpPayloadSize: 1232, options: [option] }] });
const sent = query.subarray(query.lastIndexOf(Buffer.from([0, 8, 0])) + 4).toString("hex");
if (port === "0") return console.log(sent);
const socket = require("dgram").createSocket("udp4");
socket.on("message", (answer) => { console.log(packet.decode(answer).rcode); socket.close(); });
socket.send(query, Number(port), "127.0.0.1");
JS
in_dnspython() { unpacked /usr/bin/python3 -c 'import dns.edns, sys; print(dns.edns.ECSOption(sys.argv[1], int(sys.argv[2])).to_wire().hex())' "$@"; }

seen "192.0.2.55/20 by dnspython (family, source, scope, address)" "$(in_dnspython 192.0.2.55 20)" 00011400c00000
seen "192.0.2.55/20 by dns-packet" "$(node ask.js 0 192.0.2.55 20)" 00011400c00002
seen "gdnsd to that" "$(node ask.js "${port[0]}" 192.0.2.55 20)" FORMERR
seen "Knot DNS to that" "$(node ask.js "${port[1]}" 192.0.2.55 20)" NOERROR
seen "gdnsd to 192.0.2.55/24" "$(node ask.js "${port[0]}" 192.0.2.55 24)" NOERROR
seen "192.0.2.55 without a length by dns-packet" "$(node ask.js 0 192.0.2.55)" 00010000
finished "dns-packet 5.6.1 does not clear the bits below the prefix"
