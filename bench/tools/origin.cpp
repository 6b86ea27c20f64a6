/// bench_origin: the trivial HTTP/1.1 origin behind the proxies that are compared. One thread, keep-alive, plain and
/// TLS ports on loopback. GET /1k, /1m and /health answer 200 with head and body in one write; a request body of any
/// length is read, counted and reported in the answer. Prints one JSON line with its ports, stops when stdin ends.
#include "bench/tools/wire.h"

#include <algorithm>
#include <cctype>
#include <csignal>
#include <fcntl.h>
#include <list>
#include <vector>

namespace nearhop::bench {
namespace {

std::string answer_with(std::string_view body) {
    return "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

const std::string answer_1k = answer_with(std::string(1024, 'k'));
const std::string answer_1m = answer_with(std::string(1024 * 1024, 'm'));
const std::string answer_health = answer_with("ok\n");
const std::string answer_unknown = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

/// The value of a field in a request head, or empty. Names in any case.
std::string_view field(std::string_view head, std::string_view lower_name) {
    std::size_t line = head.find("\r\n");
    while (line != std::string_view::npos) {
        line += 2;
        const auto end = head.find("\r\n", line);
        const std::string_view text = head.substr(line, end == std::string_view::npos ? end : end - line);
        const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
        if (text.size() > lower_name.size() && text[lower_name.size()] == ':' &&
            std::equal(lower_name.begin(), lower_name.end(), text.begin(),
                       [&](char b, char a) { return same(a, b); })) {
            const auto value = text.find_first_not_of(' ', lower_name.size() + 1);
            return value == std::string_view::npos ? std::string_view{} : text.substr(value);
        }
        line = end;
    }
    return {};
}

/// Eats a chunked body piece by piece; trailers are eaten with it.
class Chunks {
public:
    bool done() const { return state_ == State::done; }
    std::uint64_t size() const { return total_; }

    std::size_t eat(std::string_view data) {
        std::size_t at = 0;
        while (at < data.size() && !done()) {
            if (state_ == State::data) {
                const auto n = std::min<std::uint64_t>(left_, data.size() - at);
                at += n;
                left_ -= n;
                total_ += n;
                if (left_ == 0) state_ = State::data_end;
                continue;
            }
            const char c = data[at++];
            if (c != '\n') {
                if (c != '\r') line_ += c;
                continue;
            }
            end_line();
        }
        return at;
    }

private:
    enum class State { size, data, data_end, trailer, done };

    void end_line() {
        if (state_ == State::size) {
            left_ = std::strtoull(line_.c_str(), nullptr, 16);
            state_ = left_ == 0 ? State::trailer : State::data;
        } else if (state_ == State::data_end) {
            state_ = State::size;
        } else if (line_.empty()) {
            state_ = State::done;
        }
        line_.clear();
    }

    State state_ = State::size;
    std::string line_;
    std::uint64_t left_ = 0;
    std::uint64_t total_ = 0;
};

struct Connection {
    Stream stream;
    std::string head;          ///< received, not yet a whole head
    bool in_body = false;      ///< a request's body is being read
    bool chunked = false;      ///< how that body is framed
    std::uint64_t length = 0;  ///< its length and ...
    std::uint64_t left = 0;    ///< ... what of it has not come yet
    Chunks chunks;
    bool close_after = false;
    std::string own_answer;  ///< when the answer is not one of the constants
    const std::string* answer = nullptr;
    std::size_t sent = 0;
    bool wants_write = false;
    std::list<Connection>::iterator self;
};

class Origin {
public:
    explicit Origin(SslContext tls) : tls_(std::move(tls)) {}

    std::uint16_t listen(bool tls) {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        sockaddr_in address = loopback(0);
        socklen_t size = sizeof address;
        if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd, 4096) != 0 ||
            ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
            die("listen");
        listeners_.push_back({fd, tls});
        return ntohs(address.sin_port);
    }

    void run() {
        for (auto& listener : listeners_) poller_.add(listener.fd, EPOLLIN, &listener);
        poller_.add(STDIN_FILENO, EPOLLIN, nullptr);
        epoll_event events[256];
        for (;;) {
            const int n = poller_.wait(events, -1);
            for (int i = 0; i < n; ++i) {
                void* owner = events[i].data.ptr;
                if (owner == nullptr) return;
                const auto listener = std::find_if(listeners_.begin(), listeners_.end(), [&](const Listener& l) {
                    return static_cast<const void*>(&l) == owner;
                });
                if (listener != listeners_.end()) {
                    accept(*listener);
                    continue;
                }
                auto* connection = static_cast<Connection*>(owner);
                if (!drive(*connection, events[i].events)) connections_.erase(connection->self);
            }
        }
    }

private:
    struct Listener {
        int fd;
        bool tls;
    };

    void accept(const Listener& listener) {
        const int fd = ::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        no_delay(fd);
        SslPtr ssl(listener.tls ? SSL_new(tls_.get()) : nullptr);
        if (ssl) SSL_set_accept_state(ssl.get());
        Connection& connection = connections_.emplace_front();
        connection.stream = Stream(fd, std::move(ssl));
        connection.self = connections_.begin();
        poller_.add(fd, EPOLLIN, &connection);
    }

    /// False when the connection is finished.
    bool drive(Connection& c, std::uint32_t events) {
        if (const Io io = c.stream.handshake(); io != Io::ok) return io == Io::again;
        if ((events & EPOLLOUT) != 0 && !send(c)) return false;
        // While an answer is stuck nothing more is read: back-pressure, as an origin would do.
        while (c.answer == nullptr) {
            std::size_t got = 0;
            const Io io = c.stream.read(buffer_, sizeof buffer_, got);
            if (io == Io::again) return true;
            if (io != Io::ok || !consume(c, {buffer_, got})) return false;
            if (!c.stream.pending()) return true;
        }
        return true;
    }

    bool consume(Connection& c, std::string_view data) {
        while (!data.empty()) {
            if (!c.in_body) {
                c.head.append(data);
                const auto end = c.head.find("\r\n\r\n");
                if (end == std::string::npos) return c.head.size() < 64 * 1024;
                data.remove_prefix(end + 4 - (c.head.size() - data.size()));
                c.head.resize(end + 2);
                begin(c);
            }
            if (c.chunked) {
                data.remove_prefix(c.chunks.eat(data));
            } else {
                const auto n = std::min<std::uint64_t>(c.left, data.size());
                c.left -= n;
                data.remove_prefix(n);
            }
            if (c.chunked ? !c.chunks.done() : c.left != 0) continue;
            c.in_body = false;
            if (!answer(c)) return false;
            if (c.answer != nullptr && !data.empty()) return false;  // pipelining behind a stuck answer: not needed
        }
        return true;
    }

    void begin(Connection& c) {
        const std::string_view length = field(c.head, "content-length");
        c.chunked = !field(c.head, "transfer-encoding").empty();
        c.chunks = {};
        c.length = c.left = length.empty() ? 0 : std::strtoull(std::string(length).c_str(), nullptr, 10);
        c.close_after = field(c.head, "connection") == "close" || c.head.find(" HTTP/1.0\r\n") != std::string::npos;
        c.in_body = true;
    }

    bool answer(Connection& c) {
        const auto space = c.head.find(' ');
        const std::string_view target =
            std::string_view(c.head).substr(space + 1, c.head.find(' ', space + 1) - space - 1);
        if (c.head.starts_with("POST ")) {
            c.own_answer = answer_with("received " + std::to_string(c.chunked ? c.chunks.size() : c.length) + "\n");
            c.answer = &c.own_answer;
        } else {
            c.answer = target == "/1k"       ? &answer_1k
                       : target == "/1m"     ? &answer_1m
                       : target == "/health" ? &answer_health
                                             : &answer_unknown;
        }
        c.head.clear();
        c.sent = 0;
        return send(c);
    }

    bool send(Connection& c) {
        while (c.answer != nullptr && c.sent < c.answer->size()) {
            std::size_t n = 0;
            const Io io = c.stream.write(c.answer->data() + c.sent, c.answer->size() - c.sent, n);
            if (io == Io::again) {
                watch(c, true);
                return true;
            }
            if (io != Io::ok) return false;
            c.sent += n;
        }
        c.answer = nullptr;
        watch(c, false);
        return !c.close_after;
    }

    void watch(Connection& c, bool write) {
        if (c.wants_write == write) return;
        c.wants_write = write;
        poller_.modify(c.stream.fd(), write ? EPOLLOUT : EPOLLIN, &c);
    }

    SslContext tls_;
    Poller poller_;
    std::vector<Listener> listeners_;
    std::list<Connection> connections_;
    char buffer_[256 * 1024];
};

}  // namespace
}  // namespace nearhop::bench

int main(int argc, char** argv) {
    using namespace nearhop::bench;
    std::signal(SIGPIPE, SIG_IGN);
    const std::string certificate = option(argc, argv, "--certificate", "");
    const std::string key = option(argc, argv, "--key", "");
    const int count = std::atoi(option(argc, argv, "--ports", "1").c_str());

    SslContext tls = tls_context(TLS_server_method());
    const bool with_tls = !certificate.empty();
    if (with_tls && (SSL_CTX_use_certificate_chain_file(tls.get(), certificate.c_str()) != 1 ||
                     SSL_CTX_use_PrivateKey_file(tls.get(), key.c_str(), SSL_FILETYPE_PEM) != 1))
        die("certificate or key not readable");

    const auto origin = std::make_unique<Origin>(std::move(tls));
    const auto ports = [&](bool of_tls) {
        std::string list;
        for (int i = 0; i < count; ++i) list += (i == 0 ? "" : ", ") + std::to_string(origin->listen(of_tls));
        return list;
    };
    std::printf("{\"plain\": [%s]", ports(false).c_str());
    std::printf(", \"tls\": [%s]}\n", with_tls ? ports(true).c_str() : "");
    std::fflush(stdout);
    origin->run();
}
