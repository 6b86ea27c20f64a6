#pragma once

#include "bench/tools/wire.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <vector>

namespace nearhop::bench {

enum class Mode { keepalive, full, resumed, idle };

constexpr std::size_t megabyte = 1024 * 1024;

/// What happened in the measured span.
struct Tally {
    std::uint64_t requests = 0;
    std::uint64_t bytes = 0;               ///< of bodies, both ways
    std::uint64_t resumed = 0;             ///< handshakes that reused a session
    std::vector<std::uint32_t> latencies;  ///< in units of 100 ns
    std::map<std::string, std::uint64_t> errors;

    std::uint64_t error_count() const {
        std::uint64_t n = 0;
        for (const auto& entry : errors) n += entry.second;
        return n;
    }

    double percentile_us(double share) {
        if (latencies.empty()) return 0;
        const auto at =
            latencies.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(latencies.size() - 1));
        std::nth_element(latencies.begin(), at, latencies.end());
        return *at / 10.0;
    }
};

/// The connections of the load generator, in a closed loop: each sends its next request when the last answer is
/// complete and right. Whatever else happens is an error in the tally, and the connection is made anew.
class Clients {
public:
    Clients(std::uint16_t port, Mode mode, const std::string& kind, std::size_t connections, bool tls)
        : port_(port), mode_(mode), tls_(tls ? tls_context(TLS_client_method()) : nullptr) {
        if (tls_) {
            SSL_CTX_set_session_cache_mode(tls_.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
            SSL_CTX_sess_set_new_cb(tls_.get(), [](SSL* ssl, SSL_SESSION* session) {
                static_cast<Client*>(SSL_get_app_data(ssl))->ticket.reset(session);
                return 1;
            });
        }
        const std::string upload(kind == "upload" ? megabyte : 0, 'u');
        sent_body_ = upload.size();
        if (kind == "upload") expected_body_ = "received " + std::to_string(megabyte) + "\n";
        if (kind == "small") expected_body_ = std::string(1024, 'k');
        expected_size_ = kind == "download" ? megabyte : expected_body_.size();
        const std::string line = kind == "upload" ? "POST /upload" : kind == "download" ? "GET /1m" : "GET /1k";
        clients_.resize(connections);
        for (std::size_t i = 0; i < clients_.size(); ++i) {
            clients_[i].request = line + " HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench\r\nAccept: */*\r\n" +
                                  "X-Forwarded-For: " + viewer(i) + "\r\n" +
                                  (upload.empty() ? "" : "Content-Length: " + std::to_string(upload.size()) + "\r\n") +
                                  "\r\n" + upload;
        }
    }

    /// Opens connections that are missing, then serves what is ready.
    void turn() {
        for (auto& client : clients_) {
            if (opening_ >= max_opening || open_ == clients_.size()) break;
            if (client.state == State::closed) open(client);
        }
        epoll_event events[256];
        const int n = poller_.wait(events, 100);
        for (int i = 0; i < n; ++i) drive(*static_cast<Client*>(events[i].data.ptr));
    }

    /// Forgets everything counted so far, except that errors stay errors.
    void begin_measuring() {
        std::map<std::string, std::uint64_t> before;
        for (const auto& [what, n] : tally.errors) before["warmup_" + what] = n;
        tally = {};
        tally.errors = std::move(before);
        tally.latencies.reserve(1'000'000);
        measuring_ = true;
    }

    /// Requests without an answer for seconds would otherwise vanish from a closed loop's figures.
    void end_measuring() {
        measuring_ = false;
        for (const Client& c : clients_) {
            const bool waiting = c.state == State::sending || c.state == State::receiving;
            if (waiting && now_ns() - c.began > 2'000'000'000) ++tally.errors["stuck"];
        }
    }

    /// Held connections on which anything but a late ticket has happened are errors.
    void count_lost() {
        epoll_event events[256];
        while (const int n = poller_.wait(events, 0)) {
            for (int i = 0; i < n; ++i) {
                auto& c = *static_cast<Client*>(events[i].data.ptr);
                std::size_t got = 0;
                if (c.stream.read(buffer_, sizeof buffer_, got) != Io::again) fail(c, "closed_while_idle");
            }
        }
    }

    Tally tally;
    std::uint64_t answered() const { return answered_; }
    std::size_t open_connections() const { return open_; }
    const std::string& tls_used() const { return tls_used_; }

private:
    enum class State { closed, connecting, sending, receiving, holding };

    struct Client {
        State state = State::closed;
        Stream stream;
        SslSession ticket;
        std::string request;  ///< head and, for uploads, body
        std::size_t sent = 0;
        std::string head;  ///< of the answer, until it is whole
        std::size_t body_left = 0;
        std::string body;  ///< kept only where it is compared
        std::uint64_t began = 0;
        bool wants_write = false;
    };

    static constexpr std::size_t max_opening = 64;  ///< in their handshake at once: below every accept queue

    /// Public addresses on six continents, so that geo steering has something to decide.
    static std::string viewer(std::size_t i) {
        constexpr std::array<int, 8> networks = {3, 24, 41, 81, 103, 133, 177, 201};
        return std::to_string(networks[i % networks.size()]) + "." + std::to_string(16 + i % 100) + "." +
               std::to_string(i / 100 % 200) + ".7";
    }

    void open(Client& c) {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) die("socket");
        no_delay(fd);
        const sockaddr_in address = loopback(port_);
        if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS) {
            ::close(fd);
            ++tally.errors["connect"];
            return;
        }
        SslPtr ssl(tls_ ? SSL_new(tls_.get()) : nullptr);
        if (ssl) {
            SSL_set_connect_state(ssl.get());
            SSL_set_app_data(ssl.get(), &c);
            SSL_set_tlsext_host_name(ssl.get(), "bench.example");
            if (mode_ == Mode::resumed && c.ticket) SSL_set_session(ssl.get(), c.ticket.get());
        }
        c.stream = Stream(fd, std::move(ssl));
        c.state = State::connecting;
        c.began = now_ns();
        c.wants_write = true;
        ++opening_;
        ++open_;
        poller_.add(fd, EPOLLOUT, &c);
    }

    void drive(Client& c) {
        switch (c.state) {
            case State::closed: return;
            case State::connecting: return connect(c);
            case State::sending: return send(c);
            case State::receiving: return receive(c);
            case State::holding: return fail(c, "closed_while_idle");
        }
    }

    void connect(Client& c) {
        watch(c, false);
        if (const Io io = c.stream.handshake(); io != Io::ok) {
            if (io != Io::again) fail(c, "handshake");
            return;
        }
        --opening_;
        begin(c, c.began);  // the latency of a new connection's request holds the handshake
    }

    void begin(Client& c, std::uint64_t since) {
        c.state = State::sending;
        c.began = since;
        c.sent = 0;
        send(c);
    }

    void send(Client& c) {
        while (c.sent < c.request.size()) {
            std::size_t n = 0;
            const Io io = c.stream.write(c.request.data() + c.sent, c.request.size() - c.sent, n);
            if (io == Io::again) return watch(c, true);
            if (io != Io::ok) return fail(c, "closed_while_sending");
            c.sent += n;
        }
        watch(c, false);
        c.head.clear();
        c.body.clear();
        c.state = State::receiving;
    }

    void receive(Client& c) {
        do {
            std::size_t got = 0;
            const Io io = c.stream.read(buffer_, sizeof buffer_, got);
            if (io == Io::again) return;
            if (io != Io::ok) return fail(c, c.head.empty() ? "closed_before_answer" : "truncated");
            take(c, {buffer_, got});
        } while (c.state == State::receiving && c.stream.pending());
    }

    void take(Client& c, std::string_view data) {
        if (!c.head.ends_with("\r\n\r\n")) {
            const std::size_t before = c.head.size();
            c.head.append(data);
            const auto end = c.head.find("\r\n\r\n");
            if (end == std::string::npos) return;
            data.remove_prefix(end + 4 - before);
            c.head.resize(end + 4);
            if (!c.head.starts_with("HTTP/1.1 200")) return fail(c, "status_" + c.head.substr(9, 3));
            c.body_left = length_of(c.head);
            if (c.body_left != expected_size_) return fail(c, "wrong_length");
        }
        if (data.size() > c.body_left) return fail(c, "too_much");
        c.body_left -= data.size();
        tally.bytes += data.size();
        if (!expected_body_.empty()) c.body.append(data);
        if (c.body_left != 0) return;
        if (c.body != expected_body_) return fail(c, "wrong_body");
        complete(c);
    }

    static std::size_t length_of(const std::string& head) {
        for (const std::string_view name : {"\r\nContent-Length: ", "\r\ncontent-length: "})
            if (const auto at = head.find(name); at != std::string::npos)
                return std::strtoull(head.c_str() + at + name.size(), nullptr, 10);
        return 0;
    }

    void complete(Client& c) {
        const std::uint64_t now = now_ns();
        tally.latencies.push_back(
            static_cast<std::uint32_t>(std::min<std::uint64_t>((now - c.began) / 100, UINT32_MAX)));
        tally.bytes += sent_body_;
        ++tally.requests;
        ++answered_;
        if (SSL* ssl = c.stream.ssl(); ssl != nullptr && tls_used_.empty())
            tls_used_ = std::string(SSL_get_version(ssl)) + " " + SSL_get_cipher_name(ssl) + " " +
                        OBJ_nid2sn(static_cast<int>(SSL_get_negotiated_group(ssl)));
        if (mode_ == Mode::keepalive) return begin(c, now);
        if (mode_ == Mode::idle) {
            c.state = State::holding;
            return;
        }
        if (SSL* ssl = c.stream.ssl()) {
            const bool reused = SSL_session_reused(ssl) == 1;
            tally.resumed += reused ? 1 : 0;
            if (measuring_ && reused != (mode_ == Mode::resumed)) ++tally.errors["wrong_kind_of_handshake"];
        }
        shut(c);
    }

    void fail(Client& c, const std::string& what) {
        ++tally.errors[what];
        shut(c);
    }

    void shut(Client& c) {
        if (c.state == State::connecting) --opening_;
        --open_;
        c.state = State::closed;
        c.stream.close();
    }

    void watch(Client& c, bool write) {
        if (c.wants_write == write) return;
        c.wants_write = write;
        poller_.modify(c.stream.fd(), write ? EPOLLOUT : EPOLLIN, &c);
    }

    std::uint16_t port_;
    Mode mode_;
    SslContext tls_;
    Poller poller_;
    std::vector<Client> clients_;
    std::string expected_body_;
    std::size_t expected_size_ = 0;
    std::size_t sent_body_ = 0;  ///< bytes of one request's body
    std::size_t opening_ = 0;
    std::size_t open_ = 0;
    bool measuring_ = false;
    std::uint64_t answered_ = 0;
    std::string tls_used_;
    char buffer_[256 * 1024];
};

}  // namespace nearhop::bench
