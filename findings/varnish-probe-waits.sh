#!/usr/bin/env bash
# A Varnish probe counts a whole 200 as failed until the origin closes the connection.
#
# Guess: a 200 with Content-Length is over when its content is there; whether the connection closes at once or lingers makes
#   no difference.
# Instead: the probe reads to the end of the connection. An origin whose answer arrives within a millisecond, but that closes
#   two seconds later, is "sick" with the default timeout of 2 s: "Poll error 110 (Connection timed out)".
# Matters: an origin or edge that lingers before it closes (so that a client still sending sees the answer), or that keeps the
#   connection for another request, is out of Varnish's rotation while every other checker calls it healthy.
# Seen with: varnish 7.1.1 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs gcc   # Varnish compiles its configuration
debian varnish=7.1.1-2+deb12u1
mapfile -t port < <(free_ports 3)
mkdir varnish

cat >origin.py <<'PYTHON'
import socketserver, sys, threading, time
class Origin(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        time.sleep(self.server.linger)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
for port, linger in zip(sys.argv[1:], (0, 3)):
    server = Server(("127.0.0.1", int(port)), Origin)
    server.linger = linger
    threading.Thread(target=server.serve_forever).start()
PYTHON
cat >varnish.vcl <<CONF
vcl 4.1;
probe health { .url = "/health"; .interval = 1s; .window = 3; .threshold = 2; .initial = 0; }
backend prompt { .host = "127.0.0.1"; .port = "${port[0]}"; .probe = health; }
backend lingering { .host = "127.0.0.1"; .port = "${port[1]}"; .probe = health; }
sub vcl_recv { set req.backend_hint = prompt; if (req.http.x) { set req.backend_hint = lingering; } }
CONF
start "${port[1]}" origin.log /usr/bin/python3 origin.py "${port[0]}" "${port[1]}"
start "${port[2]}" varnish.log "$root/usr/sbin/varnishd" -j none -F -a "127.0.0.1:${port[2]}" -f "$lab/varnish.vcl" -n "$lab/varnish" -s malloc,20m
health() { unpacked "$root/usr/bin/varnishadm" -n "$lab/varnish" backend.list 2>/dev/null | awk -v name="boot.$1" '$1 == name { print $4 }'; }
reason() { unpacked "$root/usr/bin/varnishlog" -n "$lab/varnish" -d -g raw -i Backend_health | grep "$1" | tail -n 1 | grep -o '"[^"]*"$'; }
sleep 8
seen "closes at once" "$(health prompt), $(reason prompt)" 'healthy, "HTTP/1.1 200 OK"'
seen "closes after 3 s" "$(health lingering), $(reason lingering)" 'sick, "Poll error 110 (Connection timed out)"'
finished "Varnish 7.1.1 does not take a probe's answer for whole before the connection ends"
