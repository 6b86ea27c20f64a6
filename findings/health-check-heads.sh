#!/usr/bin/env bash
# HAProxy's checks "over HTTP/1.1" carry no Host, so that nginx calls itself down.
#
# Guess: a checker that is told to speak HTTP/1.1 sends what HTTP/1.1 demands (RFC 9112 section 3.2), the server's name or
#   address as Host; Varnish does.
# Instead: "option httpchk GET /health HTTP/1.1" sends the request line and "connection: close": nginx, as every server that
#   follows the RFC, answers 400, and HAProxy marks it DOWN, "invalid status, code: 400". Without a version HAProxy and gdnsd
#   send HTTP/1.0 and no Host either, which is legal and lands in whatever site is the default.
# Matters: an edge in front of many sites cannot tell which site's health is asked; it has to answer a head without Host as a
#   default of its own. In HAProxy: "http-check send ... hdr Host NAME".
# Seen with: haproxy 2.6.12, gdnsd 3.8.1, varnish 7.1.1, nginx 1.22.1 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs gcc   # Varnish compiles its configuration
debian haproxy=2.6.12-1+deb12u4 gdnsd=3.8.1-1 varnish=7.1.1-2+deb12u1 nginx=1.22.1-9+deb12u11
mapfile -t port < <(free_ports 8)
mkdir -p nginx varnish gdnsd/zones

cat >origin.py <<'PYTHON'
import http.server, sys, threading
class Origin(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.server.server_port, self.command, self.request_version, "Host" in self.headers and "Host " + self.headers["Host"] or "no Host", flush=True)
        self.send_response(200)
        self.end_headers()
    do_OPTIONS = do_GET
    def log_message(self, *arguments): pass
for port in sys.argv[1:]:
    threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Origin).serve_forever).start()
PYTHON
cat >nginx.conf <<CONF
daemon off; pid nginx/pid; error_log nginx/error.log; events {}
http { access_log off; client_body_temp_path nginx; proxy_temp_path nginx; fastcgi_temp_path nginx; uwsgi_temp_path nginx; scgi_temp_path nginx;
server { listen 127.0.0.1:${port[4]}; location / { return 200 ok; } } }
CONF
cat >haproxy.cfg <<CONF
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
listen bare
    bind 127.0.0.1:${port[5]}
    option httpchk
    server s 127.0.0.1:${port[0]} check inter 500
backend versioned
    option httpchk GET /health HTTP/1.1
    server s 127.0.0.1:${port[1]} check inter 500
    server nginx 127.0.0.1:${port[4]} check inter 500
CONF
printf 'vcl 4.1;\nbackend default { .host = "127.0.0.1"; .port = "%s"; .probe = { .url = "/health"; .interval = 1s; } }\n' "${port[2]}" >varnish.vcl
printf '@ 60 SOA ns1 mail 1 7200 1800 259200 60\n@ 60 NS ns1\nns1 60 A 127.0.0.1\nwww 60 DYNA multifo!r\n' >gdnsd/zones/example.com
echo "options => { listen => 127.0.0.1:${port[6]}, run_dir => $lab/gdnsd, state_dir => $lab/gdnsd }
service_types => { web => { plugin => http_status, port => ${port[3]}, url_path => /health, interval => 2, timeout => 1 } }
plugins => { multifo => { r => { service_types => web, a => 127.0.0.1 } } }" >gdnsd/config
start "${port[3]}" heads /usr/bin/python3 origin.py "${port[@]:0:4}"
start "${port[4]}" nginx.log "$root/usr/sbin/nginx" -p "$lab" -c "$lab/nginx.conf"
start "${port[5]}" haproxy.log "$root/usr/sbin/haproxy" -f haproxy.cfg
start "${port[6]}" gdnsd.log "$root/usr/sbin/gdnsd" -c gdnsd start
start "${port[7]}" varnish.log "$root/usr/sbin/varnishd" -j none -F -a "127.0.0.1:${port[7]}" -f "$lab/varnish.vcl" -n "$lab/varnish" -s malloc,20m
for _ in $(seq 100); do
    [ "$(cut -d' ' -f1 heads | sort -u | wc -l)" = 4 ] && grep -q 'versioned/nginx is DOWN' haproxy.log && break
    sleep 0.1
done
head_of() { grep -m 1 "^$1 " heads | cut -d' ' -f2-; }
seen "HAProxy 'option httpchk'" "$(head_of "${port[0]}")" "OPTIONS HTTP/1.0 no Host"
seen "HAProxy 'option httpchk GET /health HTTP/1.1'" "$(head_of "${port[1]}")" "GET HTTP/1.1 no Host"
seen "HAProxy on nginx" "$(grep -o 'versioned/nginx is DOWN.*code: 400' haproxy.log)" "versioned/nginx is DOWN, reason: Layer7 wrong status, code: 400"
seen "gdnsd http_status" "$(head_of "${port[3]}")" "GET HTTP/1.0 no Host"
seen "Varnish .probe" "$(head_of "${port[2]}")" "GET HTTP/1.1 Host 127.0.0.1"
finished "HAProxy 2.6 sends HTTP/1.1 checks without Host"
