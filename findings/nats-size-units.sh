#!/usr/bin/env bash
# In nats-server's configuration 64K is 64,000 and 64KB is 65,536: the other way round from what the units mean.
#
# Guess: K and M are binary as in nginx, HAProxy and systemd; if one of the two is decimal, it is "KB".
# Instead: "k" and "m" are powers of 1,000, "kb" and "mb" (and "kib") powers of 1,024, upper and lower case alike.
# Matters: max_payload: 1M refuses a message of 1 MiB that the default (1 MiB) takes; edges that share state in whole MiB
#   lose it after somebody has "written the default down".
# Seen with: nats-server 2.9.10 (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs curl
debian nats-server=2.9.10-1+b3

max_payload() {  # [VALUE]
    mapfile -t port < <(free_ports 2)
    printf 'host: 127.0.0.1\nport: %s\nhttp: 127.0.0.1:%s\n%s\n' "${port[@]}" "${1:+max_payload: $1}" >nats.conf
    start "${port[1]}" nats.log "$root/usr/sbin/nats-server" -c nats.conf
    answer=$(curl -s "127.0.0.1:${port[1]}/varz" | grep -o '"max_payload": [0-9]*' | cut -d' ' -f2)
}
for row in "64K 64000" "64k 64000" "64KB 65536" "64kb 65536" "64KiB 65536" "1M 1000000" "1MB 1048576"; do
    max_payload "${row% *}"
    seen "max_payload: ${row% *}" "$answer" "${row#* }"
done
max_payload
seen "the default" "$answer" 1048576
finished "nats-server 2.9.10 takes K and M for decimal, KB and MB for binary"
