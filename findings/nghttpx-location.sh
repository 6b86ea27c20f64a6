#!/usr/bin/env bash
# nghttpx turns an origin's redirect to https into one to http, and drops ports from others.
#
# Guess: a proxy passes Location on, or rewrites only what points at the origin's own address (as nginx' proxy_redirect does).
# Instead: by default (--no-location-rewrite is off) scheme and port of every Location whose host is that of the request are
#   replaced by those of the front: on a cleartext front https://www.example.com/sign-in becomes http://www.example.com/sign-in
#   and http://www.example.com:9443/admin loses its port.
# Matters: "redirect everything to https" at the origin is an endless loop behind such a front, and no rule of the origin can
#   send a browser to another port of the same host.
# Seen with: nghttp2-proxy 1.52.0 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs curl
debian nghttp2-proxy=1.52.0-1+deb12u3
mapfile -t port < <(free_ports 3)

cat >origin.py <<'PYTHON'
import http.server, sys
class Origin(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", self.headers["X-Location"])
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *arguments): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Origin).serve_forever()
PYTHON
front() {  # PORT OPTION...
    start "$1" nghttpx.log "$root/usr/sbin/nghttpx" --conf=/dev/null --errorlog-file=nghttpx.log "${@:2}" \
        -f "127.0.0.1,$1;no-tls" -b "127.0.0.1,${port[0]}"
}
start "${port[0]}" origin.log /usr/bin/python3 origin.py "${port[0]}"
front "${port[1]}"
front "${port[2]}" --no-location-rewrite

location() {  # PORT LOCATION
    curl -s -o /dev/null -D - -H 'Host: www.example.com' -H "X-Location: $2" "127.0.0.1:$1/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p'
}
seen "https://www.example.com/sign-in" "$(location "${port[1]}" https://www.example.com/sign-in)" http://www.example.com/sign-in
seen "http://www.example.com:9443/admin" "$(location "${port[1]}" http://www.example.com:9443/admin)" http://www.example.com/admin
seen "https://other.example.com/" "$(location "${port[1]}" https://other.example.com/)" https://other.example.com/
seen "https://www.example.com/sign-in, --no-location-rewrite" "$(location "${port[2]}" https://www.example.com/sign-in)" \
    https://www.example.com/sign-in
finished "nghttpx 1.52.0 rewrites scheme and port of redirects within the requested host"
