/// bench_floor: what TLS and the kernel alone cost. A relay that parses nothing: each TLS client gets one plain
/// connection to the origin, and bytes go through as they come. Not a proxy; it shows how low one could get.
///
///   bench_floor --port P --origin P --certificate PEM [--read BYTES]
#include "bench/tools/wire.h"

#include <algorithm>
#include <csignal>
#include <sys/socket.h>
#include <vector>

namespace nearhop::bench {
namespace {

std::size_t read_size = 64 * 1024;

class Relay {
public:
    Relay(Poller& poller, SSL_CTX* context, int client, std::uint16_t port) : client_{client} {
        const sockaddr_in to = loopback(port);
        origin_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (::connect(origin_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS)
            die("connect to the origin");
        for (const int descriptor : {client_, origin_}) {
            no_delay(descriptor);
            poller.add(descriptor, EPOLLIN | EPOLLOUT | EPOLLET, this);
        }
        tls_.reset(SSL_new(context));
        out_ = BIO_new(BIO_f_buffer());  // gathers records, so that they leave in one send
        BIO_set_write_buffer_size(out_, static_cast<long>(read_size + read_size / 8));
        BIO* socket = BIO_new_socket(client_, BIO_NOCLOSE);
        BIO_up_ref(socket);
        BIO_push(out_, socket);
        SSL_set_bio(tls_.get(), socket, out_);
        SSL_set_accept_state(tls_.get());
    }
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;
    ~Relay() {
        tls_.reset();
        ::close(client_);
        ::close(origin_);
    }

    /// Moves everything that can be moved now. False when the relay is over.
    bool turn() {
        if (!SSL_is_init_finished(tls_.get())) {
            const int done = SSL_accept(tls_.get());
            (void)BIO_flush(out_);
            if (done != 1) return SSL_get_error(tls_.get(), done) == SSL_ERROR_WANT_READ;
        }
        return requests() && responses();
    }

private:
    bool requests() {
        char bytes[48 * 1024];  // three records leave together
        for (;;) {
            std::size_t held = 0;
            bool more = true;
            while (more && held + 16 * 1024 <= sizeof bytes) {
                const int got = SSL_read(tls_.get(), bytes + held, 16 * 1024);
                if (got > 0) {
                    held += static_cast<std::size_t>(got);
                    continue;
                }
                if (SSL_get_error(tls_.get(), got) != SSL_ERROR_WANT_READ) return false;
                more = false;
            }
            // What the load generator asks fits into any socket's buffer.
            if (held != 0 && ::send(origin_, bytes, held, MSG_NOSIGNAL) != static_cast<ssize_t>(held)) return false;
            if (!more) return true;
        }
    }

    bool responses() {
        for (;;) {
            if (BIO_flush(out_) != 1) return BIO_should_retry(out_) != 0;
            if (from_ == held_) {
                bytes_.resize(read_size);
                const auto got = ::recv(origin_, bytes_.data(), read_size, 0);
                from_ = 0;
                held_ = got > 0 ? static_cast<std::size_t>(got) : 0;
                if (got <= 0) return got < 0 && errno == EAGAIN;
            }
            const int wrote = SSL_write(tls_.get(), bytes_.data() + from_, static_cast<int>(held_ - from_));
            if (wrote <= 0) return SSL_get_error(tls_.get(), wrote) == SSL_ERROR_WANT_WRITE;
            from_ += static_cast<std::size_t>(wrote);
        }
    }

    int client_;
    int origin_;
    SslPtr tls_;
    BIO* out_;
    std::vector<char> bytes_;
    std::size_t from_ = 0;
    std::size_t held_ = 0;
};

int run(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    const auto number = [&](const char* name, const char* otherwise) {
        return std::stoul(option(argc, argv, name, otherwise));
    };
    read_size = number("--read", "65536");
    const auto origin = static_cast<std::uint16_t>(number("--origin", "0"));
    const std::string certificate = option(argc, argv, "--certificate", "");
    auto context = tls_context(TLS_server_method());
    SSL_CTX_clear_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE);  // a whole read in one go
    // OpenSSL moves what it has read ahead to the front of its buffer at each record: the larger, the dearer.
    SSL_CTX_set_default_read_buffer_len(context.get(), 0);
    if (SSL_CTX_use_certificate_chain_file(context.get(), certificate.c_str()) != 1 ||
        SSL_CTX_use_PrivateKey_file(context.get(), certificate.c_str(), SSL_FILETYPE_PEM) != 1)
        die("certificate " + certificate);

    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const sockaddr_in at = loopback(static_cast<std::uint16_t>(number("--port", "0")));
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 || ::listen(listener, 1024) != 0)
        die("listen");
    Poller poller;
    poller.add(listener, EPOLLIN, nullptr);
    std::vector<Relay*> over;
    for (;;) {
        epoll_event events[64];
        const int count = poller.wait(events, -1);
        for (int i = 0; i < count; ++i) {
            auto* relay = static_cast<Relay*>(events[i].data.ptr);
            if (relay == nullptr) {
                const int client = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
                if (client >= 0) (new Relay{poller, context.get(), client, origin})->turn();
            } else if (std::find(over.begin(), over.end(), relay) == over.end() && !relay->turn()) {
                over.push_back(relay);  // its other end may be in this batch too
            }
        }
        for (const auto* relay : over) delete relay;
        over.clear();
    }
}

}  // namespace
}  // namespace nearhop::bench

int main(int argc, char** argv) { return nearhop::bench::run(argc, argv); }
