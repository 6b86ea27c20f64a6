#!/usr/bin/env bash
# The caches of nginx and HAProxy take a copy that is 4 s old for a new one.
#
# Guess: max-age=6 and Age: 4 mean 2 s more (RFC 9111 section 4.2); nobody serves it older than 6 s.
# Instead: nginx and HAProxy keep it for 6 s from its arrival. nginx repeats "Age: 4" for as long as it serves it, so that the
#   next cache believes it as well; HAProxy counts up and says "age: 7" beside "max-age=6". Varnish keeps it for 2 s.
# Matters: each of them behind another cache, a CDN or an edge adds a whole lifetime: three layers serve an answer of
#   max-age=60 for up to three minutes, and purging by waiting for max-age does not work.
# Seen with: nginx 1.22.1, haproxy 2.6.12, varnish 7.1.1 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs gcc curl   # Varnish compiles its configuration
debian nginx=1.22.1-9+deb12u11 haproxy=2.6.12-1+deb12u4 varnish=7.1.1-2+deb12u1
mapfile -t port < <(free_ports 4)
origin=${port[0]}
mkdir nginx varnish

cat >origin.py <<'PYTHON'
import http.server, itertools, sys
count = itertools.count(1)
class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        for name, value in (("Cache-Control", "max-age=6"), ("Age", "4"), ("ETag", '"%d"' % next(count)), ("Content-Length", "1")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"x")
    def log_message(self, *arguments): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Origin).serve_forever()
PYTHON
cat >nginx.conf <<CONF
daemon off; pid nginx/pid; error_log nginx/error.log; events {}
http { access_log off; client_body_temp_path nginx; proxy_temp_path nginx; fastcgi_temp_path nginx; uwsgi_temp_path nginx; scgi_temp_path nginx;
proxy_cache_path nginx/cache keys_zone=zone:1m;
server { listen 127.0.0.1:${port[1]}; location / { proxy_pass http://127.0.0.1:$origin; proxy_cache zone; } } }
CONF
cat >haproxy.cfg <<CONF
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
cache small
    total-max-size 4
    max-age 60
listen front
    bind 127.0.0.1:${port[2]}
    http-request cache-use small
    http-response cache-store small
    server s 127.0.0.1:$origin
CONF
printf 'vcl 4.1;\nbackend default { .host = "127.0.0.1"; .port = "%s"; }\n' "$origin" >varnish.vcl
start "$origin" origin.log /usr/bin/python3 origin.py "$origin"
start "${port[1]}" nginx.log "$root/usr/sbin/nginx" -p "$lab" -c "$lab/nginx.conf"
start "${port[2]}" haproxy.log "$root/usr/sbin/haproxy" -f haproxy.cfg
start "${port[3]}" varnish.log "$root/usr/sbin/varnishd" -j none -F -a "127.0.0.1:${port[3]}" -f "$lab/varnish.vcl" -n "$lab/varnish" \
    -s malloc,20m -p default_grace=0

get() { curl -s -o /dev/null -D - "127.0.0.1:$1/" | tr -d '\r' | tr '[:upper:]' '[:lower:]' | grep -E '^(age|etag):' | sort; }
tell() {  # FIRST SECOND: what an answer after 3.5 s is
    [ "$(grep etag <<<"$1")" = "$(grep etag <<<"$2")" ] && echo "the copy, $(grep age <<<"$2")" || echo "a new one, $(grep age <<<"$2")"
}
first=()
for front in 1 2 3; do first[front]=$(get "${port[front]}"); done
sleep 3.5
seen "nginx after 3.5 s" "$(tell "${first[1]}" "$(get "${port[1]}")")" "the copy, age: 4"
seen "HAProxy after 3.5 s" "$(tell "${first[2]}" "$(get "${port[2]}")" | sed -E 's/age: [78]/age above 6/')" "the copy, age above 6"
seen "Varnish after 3.5 s" "$(tell "${first[3]}" "$(get "${port[3]}")")" "a new one, age: 4"
finished "nginx 1.22 and HAProxy 2.6 count the life of a stored answer from its arrival, not from its Age"
