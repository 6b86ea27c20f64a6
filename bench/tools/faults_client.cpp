#include "bench/tools/faults_client.h"

#include <cctype>

namespace nearhop::bench {

void take_field(Request& r, std::string name, std::string_view value) {
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (name == ":status") r.status = std::atoi(std::string(value).c_str());
    if (name == "x-region") r.region = value;
    if (name == "x-echo") r.echo = value;
    if (name == "connection") r.close = value == "close";
    if (name == "content-length") {
        r.has_length = true;
        r.length = std::strtoull(std::string(value).c_str(), nullptr, 10);
    }
}

Journal::Journal(const std::string& file) : file_(std::fopen(file.c_str(), "a")) {
    if (file_ == nullptr) die("--out");
}

void Journal::done(const Request& r, std::string outcome) {
    const std::uint64_t now = now_ns();
    if (outcome.empty()) {
        const bool good = r.status / 100 == 2;
        outcome = !good ? "status" : r.echo != r.id ? "another's" : "ok";
    }
    std::fprintf(file_, "%llu %llu %s %s %s %s %d %s %s\n", static_cast<unsigned long long>(r.began / 1000),
                 static_cast<unsigned long long>((now - r.began) / 1000), r.id.c_str(), r.method, r.target + 1,
                 r.http2 ? "h2" : "h1", r.status, outcome.c_str(), r.region.empty() ? "-" : r.region.c_str());
}

Client::Client(const Settings& s, Poller& poller, Journal& journal, bool http2)
    : s_(s), poller_(poller), journal_(journal), http2_(http2) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    no_delay(fd);
    SslPtr ssl(SSL_new(s.tls));
    SSL_set_connect_state(ssl.get());
    SSL_set_tlsext_host_name(ssl.get(), host.data());
    static constexpr unsigned char h1[] = "\x08http/1.1", h2[] = "\x02h2";
    SSL_set_alpn_protos(ssl.get(), http2 ? h2 : h1, http2 ? 3 : 9);
    stream_ = Stream(fd, std::move(ssl));
    const sockaddr_in to = loopback(s.port);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS) dead = true;
    poller_.add(fd, EPOLLIN | EPOLLOUT, this);
}

void Client::drive() {
    if (dead) return;
    const Io io = stream_.handshake();
    if (io == Io::again) return watch(false);
    if (io != Io::ok) return fail("handshake");
    if (!opened_) opened_ = true, open();
    if (!dead) receive();
    if (!dead) transmit();
}

void Client::fail(const char* why) {
    dead = true;
    lost(why);
}

void Client::receive() {
    static char buffer[64 * 1024];
    for (;;) {
        std::size_t got = 0;
        const Io io = stream_.read(buffer, sizeof buffer, got);
        if (io == Io::again) return;
        if (io != Io::ok) return fail(io == Io::closed ? "closed" : "reset");
        if (!consume({buffer, got})) return fail("malformed");
        if (dead) return;
    }
}

void Client::transmit() {
    if (!opened_) return;
    for (;;) {
        if (sent_ == out_.size()) {
            out_.clear();
            sent_ = 0;
            if (!more(out_)) return fail("malformed");
            if (out_.empty()) return watch(false);
        }
        std::size_t n = 0;
        const Io io = stream_.write(out_.data() + sent_, out_.size() - sent_, n);
        if (io == Io::again) return watch(true);
        if (io != Io::ok) return receive();  // an answer may have come before the end
        sent_ += n;
    }
}

void Client::watch(bool write) {
    const std::uint32_t wanted = EPOLLIN | (write ? EPOLLOUT : 0U);
    if (wanted != watched_) poller_.modify(stream_.fd(), watched_ = wanted, this);
}

}  // namespace nearhop::bench
