#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

/// What the benchmark's origin and load generator share: a non-blocking byte stream that is plain TCP or TLS, and
/// the few socket calls around it. Nothing here is used by the proxy, so that a mistake cannot hide on both sides.
namespace nearhop::bench {

[[noreturn]] inline void die(const std::string& what) {
    std::fprintf(stderr, "bench: %s: %s\n", what.c_str(), std::strerror(errno));
    std::exit(2);
}

inline std::uint64_t now_ns() {
    return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

struct SslFree {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using SslPtr = std::unique_ptr<SSL, SslFree>;
using SslContext = std::unique_ptr<SSL_CTX, SslFree>;
using SslSession = std::unique_ptr<SSL_SESSION, SslFree>;

/// One cipher suite and one group, so that every proxy does the same cryptography on both of its sides.
inline SslContext tls_context(const SSL_METHOD* method) {
    SslContext context(SSL_CTX_new(method));
    SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(context.get(), "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set1_groups_list(context.get(), "X25519");
    SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context.get(), 1);  // one recv for many records, no separate header reads
    SSL_CTX_set_default_read_buffer_len(context.get(), 64 * 1024);
    return context;
}

enum class Io { ok, again, closed, failed };

/// Owns the descriptor and, for TLS, the SSL object.
class Stream {
public:
    Stream() = default;
    Stream(int fd, SslPtr ssl) : fd_(fd), ssl_(std::move(ssl)) {
        if (ssl_) SSL_set_fd(ssl_.get(), fd_);
    }
    Stream(Stream&& other) noexcept : fd_(std::exchange(other.fd_, -1)), ssl_(std::move(other.ssl_)) {}
    Stream& operator=(Stream&& other) noexcept {
        if (this == &other) return *this;
        close();
        fd_ = std::exchange(other.fd_, -1);
        ssl_ = std::move(other.ssl_);
        return *this;
    }
    ~Stream() { close(); }

    int fd() const { return fd_; }
    SSL* ssl() const { return ssl_.get(); }

    Io handshake() {
        if (!ssl_ || SSL_is_init_finished(ssl_.get())) return Io::ok;
        ERR_clear_error();
        return outcome(SSL_do_handshake(ssl_.get()));
    }

    Io read(char* data, std::size_t size, std::size_t& got) {
        got = 0;
        if (ssl_) {
            ERR_clear_error();
            return outcome(SSL_read_ex(ssl_.get(), data, size, &got));
        }
        const ssize_t n = ::recv(fd_, data, size, 0);
        if (n == 0) return Io::closed;
        if (n < 0) return plain_error();
        got = static_cast<std::size_t>(n);
        return Io::ok;
    }

    Io write(const char* data, std::size_t size, std::size_t& sent) {
        sent = 0;
        if (ssl_) {
            ERR_clear_error();
            return outcome(SSL_write_ex(ssl_.get(), data, size, &sent));
        }
        const ssize_t n = ::send(fd_, data, size, MSG_NOSIGNAL);
        if (n < 0) return plain_error();
        sent = static_cast<std::size_t>(n);
        return Io::ok;
    }

    /// Received bytes that no readiness event will announce again.
    bool pending() const { return ssl_ && SSL_has_pending(ssl_.get()) == 1; }

    /// Says goodbye properly (close_notify) without waiting for the other side's.
    void close() {
        if (fd_ < 0) return;
        if (ssl_ && SSL_is_init_finished(ssl_.get())) {
            ERR_clear_error();
            SSL_shutdown(ssl_.get());
        }
        ::close(std::exchange(fd_, -1));
    }

private:
    static Io plain_error() { return errno == EAGAIN ? Io::again : errno == ECONNRESET ? Io::closed : Io::failed; }

    Io outcome(int result) {
        if (result == 1) return Io::ok;
        switch (SSL_get_error(ssl_.get(), result)) {
            case SSL_ERROR_WANT_READ:
            case SSL_ERROR_WANT_WRITE: return Io::again;
            case SSL_ERROR_ZERO_RETURN: return Io::closed;
            default: return Io::failed;
        }
    }

    int fd_ = -1;
    SslPtr ssl_;
};

inline sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

inline void no_delay(int fd) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/// Level-triggered: one recv per wake-up and no call that only finds EAGAIN.
class Poller {
public:
    Poller() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
        if (fd_ < 0) die("epoll_create1");
    }
    Poller(const Poller&) = delete;
    Poller& operator=(const Poller&) = delete;
    ~Poller() { ::close(fd_); }

    void add(int fd, std::uint32_t events, void* owner) { control(EPOLL_CTL_ADD, fd, events, owner); }
    void modify(int fd, std::uint32_t events, void* owner) { control(EPOLL_CTL_MOD, fd, events, owner); }

    /// Number of events stored; an interrupted wait is no event.
    template <std::size_t N>
    int wait(epoll_event (&events)[N], int timeout_ms) {
        const int n = ::epoll_wait(fd_, events, static_cast<int>(N), timeout_ms);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        return n < 0 ? 0 : n;
    }

private:
    void control(int operation, int fd, std::uint32_t events, void* owner) {
        epoll_event event{};
        event.events = events;
        event.data.ptr = owner;
        if (::epoll_ctl(fd_, operation, fd, &event) != 0) die("epoll_ctl");
    }

    int fd_;
};

/// `--name value`, or `fallback` when it was not given.
inline std::string option(int argc, char** argv, std::string_view name, std::string fallback) {
    for (int i = 1; i + 1 < argc; ++i)
        if (std::string_view(argv[i]) == name) return argv[i + 1];
    return fallback;
}

}  // namespace nearhop::bench
