#!/usr/bin/env bash
# nginx stops compressing when a proxy in front tells its name.
#
# Guess: "gzip on" compresses what a client accepts, whatever way it came.
# Instead: a request with a Via field counts as proxied, and gzip_proxied is "off" by default: with "Via: 1.1 edge" the same
#   page leaves uncompressed. Vary does not help, and nothing is logged.
# Matters: RFC 9110 section 7.6.3 obliges every proxy to send Via; an edge that does so makes nginx origins send several
#   times the bytes over the longest link. Set "gzip_proxied any" there, or let the edge leave Via out towards its origins.
# Seen with: nginx 1.22.1 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs curl
debian nginx=1.22.1-9+deb12u11
mapfile -t port < <(free_ports 2)
mkdir nginx
head -c 100000 /dev/zero | tr '\0' x >nginx/page.html

server() {  # PORT SETTING
    echo "server { listen 127.0.0.1:$1; root nginx; $2 }"
}
cat >nginx.conf <<CONF
daemon off; pid nginx/pid; error_log nginx/error.log; events {}
http { access_log off; client_body_temp_path nginx; proxy_temp_path nginx; fastcgi_temp_path nginx; uwsgi_temp_path nginx; scgi_temp_path nginx;
types { text/html html; }
gzip on;
$(server "${port[0]}" "")
$(server "${port[1]}" "gzip_proxied any;") }
CONF
start "${port[0]}" nginx.log "$root/usr/sbin/nginx" -p "$lab" -c "$lab/nginx.conf"
size() { curl -sf -o /dev/null -w '%{size_download}' -H 'Accept-Encoding: gzip' "${@:2}" "127.0.0.1:$1/page.html"; }
small() { if [ "$1" -lt 10000 ]; then echo compressed; else echo "$1 bytes"; fi; }
seen "without Via" "$(small "$(size "${port[0]}")")" compressed
seen "with Via: 1.1 edge" "$(small "$(size "${port[0]}" -H 'Via: 1.1 edge')")" "100000 bytes"
seen "with Via, gzip_proxied any" "$(small "$(size "${port[1]}" -H 'Via: 1.1 edge')")" compressed
finished "nginx 1.22.1 does not compress answers to requests with Via unless gzip_proxied says so"
