#!/usr/bin/env bash
# Behind a dual-stack listener HAProxy, stunnel and nginx announce IPv4 clients as IPv6.
#
# Guess: a client that connects over IPv4 is "PROXY TCP4 198.51.100.7 ...", whatever socket accepted it.
# Instead: on a listener of :: that also takes IPv4, HAProxy (v4v6), stunnel (:::port) and nginx stream (ipv6only=off) write
#   "PROXY TCP6 ::ffff:198.51.100.7 ...". Hitch, on the same kind of listener, writes TCP4.
# Matters: access lists, rate limits and geo databases (mmdb-mapped-ipv4.sh) that know the IPv4 form miss every IPv4 client;
#   the receiver has to unwrap. A HAProxy with two binds instead of v4v6 hides it.
# Seen with: haproxy 2.6.12, stunnel4 5.68, nginx 1.22.1 with libnginx-mod-stream, hitch 1.7.2 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs curl openssl
[ -e /proc/net/if_inet6 ] || unavailable "this machine has no IPv6"
debian haproxy=2.6.12-1+deb12u4 stunnel4=3:5.68-2+deb12u1 nginx=1.22.1-9+deb12u11 libnginx-mod-stream=1.22.1-9+deb12u11 hitch=1.7.2-1+b1
mapfile -t port < <(free_ports 5)
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost 2>/dev/null
cat key.pem cert.pem >both.pem
mkdir nginx

cat >receive.py <<'PYTHON'
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = server.accept()
    line = connection.recv(4096).split(b"\r\n")[0].decode()
    if line: print(*line.split()[:4], flush=True)
    connection.close()
PYTHON
cat >haproxy.cfg <<CONF
defaults
    mode tcp
    timeout client 5s
    timeout server 5s
    timeout connect 5s
listen dual
    bind :::${port[1]} v4v6
    server s 127.0.0.1:${port[0]} send-proxy
CONF
printf 'foreground=yes\npid=\n[s]\naccept=:::%s\nconnect=127.0.0.1:%s\nprotocol=proxy\ncert=%s\n' "${port[2]}" "${port[0]}" "$lab/both.pem" >stunnel.conf
cat >nginx.conf <<CONF
load_module $root/usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; pid nginx/pid; error_log nginx/error.log; events {}
stream { server { listen [::]:${port[3]} ipv6only=off; proxy_pass 127.0.0.1:${port[0]}; proxy_protocol on; } }
CONF
printf 'frontend = "[*]:%s"\nbackend = "[127.0.0.1]:%s"\npem-file = "%s"\nwrite-proxy-v1 = on\nuser = "%s"\n' \
    "${port[4]}" "${port[0]}" "$lab/both.pem" "$(id -un)" >hitch.conf
start "${port[0]}" received /usr/bin/python3 receive.py "${port[0]}"
start "${port[1]}" haproxy.log "$root/usr/sbin/haproxy" -f haproxy.cfg
start "${port[2]}" stunnel.log "$root/usr/bin/stunnel4" stunnel.conf
start "${port[3]}" nginx.log "$root/usr/sbin/nginx" -p "$lab" -c "$lab/nginx.conf"
start "${port[4]}" hitch.log "$root/usr/sbin/hitch" --config=hitch.conf

header() {  # SCHEME PORT: what a client of 127.0.0.1 is announced as
    for _ in 1 2 3; do
        sleep 0.3
        : >received
        curl -sk -m 3 -o /dev/null "$1://127.0.0.1:$2/" || true
        [ -s received ] && break
    done
    tail -n 1 received | tr -d '\0'
}
mapped="PROXY TCP6 ::ffff:127.0.0.1 ::ffff:127.0.0.1"
seen "HAProxy 'bind :::port v4v6', client 127.0.0.1" "$(header http "${port[1]}")" "$mapped"
seen "stunnel 'accept = :::port'" "$(header https "${port[2]}")" "$mapped"
seen "nginx stream 'listen [::]:port ipv6only=off'" "$(header http "${port[3]}")" "$mapped"
seen "hitch 'frontend = [*]:port'" "$(header https "${port[4]}")" "PROXY TCP4 127.0.0.1 127.0.0.1"
finished "three of four fronts announce the IPv4 clients of a dual-stack listener as TCP6 ::ffff:..."
