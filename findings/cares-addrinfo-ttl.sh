#!/usr/bin/env bash
# c-ares' ares_getaddrinfo tells an address's own TTL and leaves the CNAME's out.
#
# Guess: ai_ttl is for how long the answer may be kept, the smallest TTL of the chain, as ares_parse_a_reply says for the
#   same bytes.
# Instead: ai_ttl is that of the A record. With a CNAME of 5 s before an A of 3600 s it is 3600; the 5 stand apart, in the
#   list "cnames".
# Matters: managed DNS fails over by moving a short-lived CNAME (5 to 60 s) to another region's long-lived name. Who keeps
#   addresses for ai_ttl stays with the dead region for an hour. Take the minimum of both lists.
# Seen with: libc-ares2 1.18.1, python3-dnspython 2.3.0 as the server (Debian 12).
source "$(dirname "${BASH_SOURCE[0]}")/support.bash"
needs gcc
debian libc-ares2=1.18.1-3 libc-ares-dev=1.18.1-3 python3-dnspython=2.3.0-1+deb12u1
mapfile -t port < <(free_ports 1)

cat >server.py <<'PYTHON'
import dns.message, dns.rdatatype, dns.rrset, socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
while True:
    data, client = server.recvfrom(4096)
    answer = dns.message.make_response(dns.message.from_wire(data))
    answer.answer.append(dns.rrset.from_text("api.example.com.", 5, "IN", "CNAME", "eu.example.com."))
    if answer.question[0].rdtype == dns.rdatatype.A:
        answer.answer.append(dns.rrset.from_text("eu.example.com.", 3600, "IN", "A", "192.0.2.49"))
    server.sendto(answer.to_wire(), client)
PYTHON
cat >ask.c <<'C'
#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/select.h>
static void addrinfo(void* unused, int status, int timeouts, struct ares_addrinfo* answer) {
    if (status) { printf("%s\n", ares_strerror(status)); return; }
    printf("ares_getaddrinfo: ai_ttl %d, cnames' ttl %d\n", answer->nodes->ai_ttl, answer->cnames->ttl);
    ares_freeaddrinfo(answer);
}
static void reply(void* unused, int status, int timeouts, unsigned char* bytes, int size) {
    struct ares_addrttl found[4];
    int count = 4;
    if (status || ares_parse_a_reply(bytes, size, NULL, found, &count)) { printf("failed\n"); return; }
    printf("ares_parse_a_reply: ttl %d\n", found[0].ttl);
}
static void wait_for(ares_channel channel) {
    for (fd_set reads, writes;;) {
        struct timeval limit;
        FD_ZERO(&reads);
        FD_ZERO(&writes);
        int count = ares_fds(channel, &reads, &writes);
        if (!count) return;
        select(count, &reads, &writes, NULL, ares_timeout(channel, NULL, &limit));
        ares_process(channel, &reads, &writes);
    }
}
int main(int count, char** arguments) {
    ares_channel channel;
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC};
    ares_library_init(ARES_LIB_INIT_ALL);
    ares_init(&channel);
    ares_set_servers_ports_csv(channel, arguments[1]);
    ares_getaddrinfo(channel, "api.example.com", NULL, &hints, addrinfo, NULL);
    wait_for(channel);
    ares_query(channel, "api.example.com", C_IN, T_A, reply, NULL);
    wait_for(channel);
}
C
gcc -w -o ask ask.c -I"$root/usr/include" -L"$libraries" -lcares
start 0 server.log /usr/bin/python3 server.py "${port[0]}"
for _ in $(seq 50); do grep -q ready server.log && break; sleep 0.1; done
seen "for a CNAME of 5 s and an A of 3600 s" "$(unpacked ./ask "127.0.0.1:${port[0]}" | paste -sd ';')" \
    "ares_getaddrinfo: ai_ttl 3600, cnames' ttl 5;ares_parse_a_reply: ttl 5"
finished "c-ares 1.18.1 has two ideas of one answer's TTL"
