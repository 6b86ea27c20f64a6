#!/usr/bin/env bash
# Varnish turns HTTP/2's :scheme into a request header named "scheme" and sends it to the origin.
#
# Guess: pseudo-headers end where HTTP/2 ends; the origin sees the same head as for an HTTP/1.1 client.
# Instead: an HTTP/2 client's request reaches the origin with "scheme: http", an HTTP/1.1 client's without.
# Matters: a signature, a cache key or a comparison over all headers differs by the client's protocol, and a replay of the
#   access log over HTTP/1.1 is not what the origin saw.
# Seen with: varnish 7.1.1, nghttp2-client 1.52.0 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs gcc curl   # Varnish compiles its configuration
debian varnish=7.1.1-2+deb12u1 nghttp2-client=1.52.0-1+deb12u3
mapfile -t port < <(free_ports 2)
mkdir varnish

cat >origin.py <<'PYTHON'
import http.server, sys
class Origin(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write((" ".join(name for name in self.headers if name.lower() in ("scheme", ":scheme")) or "no scheme").encode())
    def log_message(self, *arguments): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Origin).serve_forever()
PYTHON
printf 'vcl 4.1;\nbackend default { .host = "127.0.0.1"; .port = "%s"; }\nsub vcl_recv { return (pass); }\n' "${port[0]}" >varnish.vcl
start "${port[0]}" origin.log /usr/bin/python3 origin.py "${port[0]}"
start "${port[1]}" varnish.log "$root/usr/sbin/varnishd" -j none -F -a "127.0.0.1:${port[1]}" -f "$lab/varnish.vcl" -n "$lab/varnish" \
    -s malloc,20m -p feature=+http2
seen "header names that the origin gets for HTTP/1.1" "$(curl -s "127.0.0.1:${port[1]}")" "no scheme"
seen "for HTTP/2" "$(unpacked "$root/usr/bin/nghttp" "http://127.0.0.1:${port[1]}/")" "scheme"
finished "Varnish 7.1.1 sends a header named scheme to the origin for HTTP/2 clients"
