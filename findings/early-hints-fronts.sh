#!/usr/bin/env bash
# A 103 from an origin breaks two fronts of Debian 12 and reaches HTTP/1.0 clients through two others.
#
# Guess: a proxy passes an interim answer on or drops it (RFC 9110 section 15.2); the 200 behind it always arrives, and a
#   client of HTTP/1.0 never gets a 1xx (a MUST NOT of the same section).
# Instead: Varnish 7.1 answers 503. nginx 1.22 takes the 103 for the final answer and waits for its body to end with the
#   connection: until proxy_read_timeout its client gets nothing, then a bare 103 and never the page. HAProxy 2.6 and Caddy
#   2.6 send the 103 to clients of HTTP/1.0, such as an nginx in front, whose proxy_pass speaks HTTP/1.0 by default. nghttpx
#   and lighttpd get all of it right.
# Matters: an edge that passes 103 on to HTTP/1.1 clients takes pages down for users behind such a front.
# Seen with: varnish 7.1.1, nginx 1.22.1, haproxy 2.6.12, caddy 2.6.2, nghttp2-proxy 1.52.0, lighttpd 1.4.69 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs gcc   # Varnish compiles its configuration
debian varnish=7.1.1-2+deb12u1 nginx=1.22.1-9+deb12u11 haproxy=2.6.12-1+deb12u4 caddy=2.6.2-5 nghttp2-proxy=1.52.0-1+deb12u3 lighttpd=1.4.69-1
mapfile -t port < <(free_ports 7)
origin=${port[0]}
mkdir nginx varnish home

cat >origin.py <<'PYTHON'
import socketserver, sys
class Origin(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            head = []
            while (line := self.rfile.readline()).strip():
                head.append(line.lower())
            if not head:
                return
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
                             b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")
            if b"connection: close\r\n" in head or b"HTTP/1.0" in head[0].upper():
                return
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
Server(("127.0.0.1", int(sys.argv[1])), Origin).serve_forever()
PYTHON
cat >nginx.conf <<CONF
daemon off; pid nginx/pid; error_log nginx/error.log; events {}
http { access_log off; client_body_temp_path nginx; proxy_temp_path nginx; fastcgi_temp_path nginx; uwsgi_temp_path nginx; scgi_temp_path nginx;
server { listen 127.0.0.1:${port[1]}; location / { proxy_pass http://127.0.0.1:$origin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_read_timeout 1s; } } }
CONF
printf 'vcl 4.1;\nbackend default { .host = "127.0.0.1"; .port = "%s"; }\n' "$origin" >varnish.vcl
cat >haproxy.cfg <<CONF
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
listen front
    bind 127.0.0.1:${port[3]}
    server s 127.0.0.1:$origin
CONF
printf '{\n admin off\n}\n:%s {\n bind 127.0.0.1\n reverse_proxy 127.0.0.1:%s\n}\n' "${port[4]}" "$origin" >Caddyfile
printf 'server.modules = ("mod_proxy")\nserver.bind = "127.0.0.1"\nserver.port = %s\nserver.document-root = "/"\nproxy.server = ("/" => (("host" => "127.0.0.1", "port" => %s)))\n' \
    "${port[6]}" "$origin" >lighttpd.conf
start "$origin" origin.log /usr/bin/python3 origin.py "$origin"
start "${port[1]}" nginx.log "$root/usr/sbin/nginx" -p "$lab" -c "$lab/nginx.conf"
start "${port[2]}" varnish.log "$root/usr/sbin/varnishd" -j none -F -a "127.0.0.1:${port[2]}" -f "$lab/varnish.vcl" -n "$lab/varnish" -s malloc,20m
start "${port[3]}" haproxy.log "$root/usr/sbin/haproxy" -f haproxy.cfg
start "${port[4]}" caddy.log env HOME="$lab/home" "$root/usr/bin/caddy" run --config Caddyfile --adapter caddyfile
start "${port[5]}" nghttpx.log "$root/usr/sbin/nghttpx" --conf=/dev/null --errorlog-file=nghttpx.log -f "127.0.0.1,${port[5]};no-tls" -b "127.0.0.1,$origin"
start "${port[6]}" lighttpd.log "$root/usr/sbin/lighttpd" -D -f lighttpd.conf -m "$root/usr/lib/lighttpd"

cat >get.py <<'PYTHON'
import re, socket, sys
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=3)
client.sendall(b"GET / HTTP/%s\r\nHost: www.example.com\r\n\r\n" % sys.argv[2].encode())
answer = b""
try:
    while not answer.endswith(b"page") and (data := client.recv(65536)): answer += data
except TimeoutError: pass
print(*re.findall(r"HTTP/1\.[01] (\d+)", answer.decode()), *["page"] * answer.endswith(b"page"))
PYTHON
get() { /usr/bin/python3 get.py "$@"; }
seen "straight from the origin, HTTP/1.1" "$(get "$origin" 1.1)" "103 200 page"
seen "nginx, HTTP/1.1" "$(get "${port[1]}" 1.1)" "103"
seen "nginx says" "$(grep -o -m 1 'upstream timed out.*upstream,' nginx/error.log)" "upstream timed out (110: Connection timed out) while reading upstream,"
seen "Varnish, HTTP/1.1" "$(get "${port[2]}" 1.1)" "503"
for front in "HAProxy ${port[3]}" "Caddy ${port[4]}"; do
    seen "${front% *}, HTTP/1.1 then HTTP/1.0" "$(get "${front#* }" 1.1), $(get "${front#* }" 1.0)" "103 200 page, 103 200 page"
done
for front in "nghttpx ${port[5]}" "lighttpd ${port[6]}"; do
    seen "${front% *}, HTTP/1.1 then HTTP/1.0" "$(get "${front#* }" 1.1), $(get "${front#* }" 1.0)" "103 200 page, 200 page"
done
finished "a 103 costs the page behind nginx 1.22 and Varnish 7.1, and HAProxy 2.6 and Caddy 2.6 hand it to HTTP/1.0 clients"
