/// faults_origin: one region of the fault suite (tests/faults). A process of its own, so that SIGKILL and SIGSTOP are
/// real; one thread, TLS, keep-alive. It names its region in each answer, appends a line to a file for each request
/// head (H), each request that it has wholly read and so carried out (X) and each probe (P), and takes its faults as
/// lines on stdin, each answered by `ok`: `hang`, `at 1 drop` (its second address only), `normal`. Ends with stdin.
#include "bench/tools/faults_answer.h"
#include "bench/tools/wire.h"

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <linux/filter.h>
#include <list>
#include <sstream>
#include <vector>

namespace nearhop::bench {
namespace {

struct Listener {
    std::uint32_t address = INADDR_LOOPBACK;
    int fd = -1;
    Fault fault;
    std::uint64_t count = 0;   ///< of requests or connections under this fault: faults that take turns go by it
    std::vector<int> fillers;  ///< connections that keep the backlog full
};

struct Connection {
    Listener* listener = nullptr;
    Stream stream;
    bool dead = false;
    bool silent = false;  ///< never read again
    int phase = -1;       ///< of `reset_phases`, chosen at accept
    std::string head;
    bool in_body = false;
    std::uint64_t left = 0;  ///< of the request's body

    // `allowed` bytes of the answer may be sent, more of them from time to time.
    Answer answer;
    std::size_t sent = 0;
    std::size_t allowed = 0;
    std::uint64_t due = 0;  ///< when the next step is allowed; 0: never
    bool wants_write = false;
};

class Origin {
public:
    Origin(std::string region, int record, std::uint64_t work)
        : region_(std::move(region)), record_(record), work_(work) {}

    void listen(std::uint32_t address, std::uint16_t port) {
        port_ = port;
        listeners_.push_back({address, -1, {}, 0, {}});
        open(listeners_.back());
    }

    void run() {
        ::fcntl(STDIN_FILENO, F_SETFL, ::fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
        poller_.add(STDIN_FILENO, EPOLLIN, nullptr);
        epoll_event events[256];
        for (;;) {
            const int n = poller_.wait(events, next_timeout());
            bool control = false;
            for (int i = 0; i < n; ++i) {
                void* owner = events[i].data.ptr;
                if (owner == nullptr) {
                    control = true;
                } else if (Listener* listener = as_listener(owner)) {
                    accept(*listener);
                } else {
                    auto& c = *static_cast<Connection*>(owner);
                    if (!c.dead && !c.silent && !drive(c, events[i].events)) c.dead = true;
                }
            }
            const std::uint64_t now = now_ns();
            for (Connection& c : connections_)
                if (!c.dead && c.due != 0 && c.due <= now && !advance(c, now)) c.dead = true;
            if (control && !obey()) return;
            connections_.remove_if([](const Connection& c) { return c.dead; });
        }
    }

    /// With ticket keys of its own, as after a restart: a resumed session would not look at the certificate.
    bool use(const std::string& certificate, const std::string& key) {
        tls_ = tls_context(TLS_server_method());
        return SSL_CTX_use_certificate_chain_file(tls_.get(), certificate.c_str()) == 1 &&
               SSL_CTX_use_PrivateKey_file(tls_.get(), key.c_str(), SSL_FILETYPE_PEM) == 1;
    }

private:
    Listener* as_listener(void* owner) {
        for (Listener& l : listeners_)
            if (&l == owner) return &l;
        return nullptr;
    }

    int next_timeout() const {
        std::uint64_t first = 0;
        for (const Connection& c : connections_)
            if (c.due != 0 && (first == 0 || c.due < first)) first = c.due;
        if (first == 0) return -1;
        const std::uint64_t now = now_ns();
        return first <= now ? 0 : static_cast<int>((first - now) / ms) + 1;
    }

    void open(Listener& l) {
        l.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const int on = 1;
        ::setsockopt(l.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        ::setsockopt(l.fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        sockaddr_in address = loopback(port_);
        address.sin_addr.s_addr = htonl(l.address);
        if (::bind(l.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(l.fd, 4096) != 0)
            die("listen");
        poller_.add(l.fd, EPOLLIN, &l);
    }

    void accept(Listener& l) {
        const int fd = ::accept4(l.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        no_delay(fd);
        SslPtr ssl(SSL_new(tls_.get()));
        SSL_set_accept_state(ssl.get());
        Connection& c = connections_.emplace_front();
        c.listener = &l;
        c.stream = Stream(fd, std::move(ssl));
        poller_.add(fd, EPOLLIN, &c);
        if (l.fault.kind == "tls_hang") c.silent = true;
        if (l.fault.kind == "reset_phases") c.phase = static_cast<int>(l.count++ % 5);
        if (c.phase == 0) end(c, true);
    }

    /// A reset is a bare RST: no close_notify in front of it.
    static void end(Connection& c, bool reset) {
        c.dead = true;
        if (!reset) return;
        const linger now{1, 0};
        ::setsockopt(c.stream.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
        SSL_set_quiet_shutdown(c.stream.ssl(), 1);
    }

    /// False when the connection is finished.
    bool drive(Connection& c, std::uint32_t events) {
        if (c.phase == 1 && !SSL_is_init_finished(c.stream.ssl())) return end(c, true), false;
        if (const Io io = c.stream.handshake(); io != Io::ok) return io == Io::again;
        if ((events & EPOLLOUT) != 0 && !send(c)) return false;
        do {
            std::size_t got = 0;
            const Io io = c.stream.read(buffer_, sizeof buffer_, got);
            if (io == Io::again) return true;
            if (io != Io::ok || !consume(c, {buffer_, got})) return false;
        } while (c.stream.pending());
        return true;
    }

    bool consume(Connection& c, std::string_view data) {
        while (!data.empty()) {
            if (!c.answer.text.empty()) return false;  // nobody here pipelines
            if (!c.in_body) {
                c.head.append(data);
                const auto end_of_head = c.head.find("\r\n\r\n");
                if (end_of_head == std::string::npos) return c.head.size() < 64 * 1024;
                data.remove_prefix(end_of_head + 4 - (c.head.size() - data.size()));
                c.head.resize(end_of_head + 2);
                if (!field(c.head, "transfer-encoding").empty()) die("a chunked request, which the load never sends");
                c.left = std::strtoull(field(c.head, "content-length").c_str(), nullptr, 10);
                c.in_body = true;
                if (!begun(c)) return false;
            }
            const auto n = std::min<std::uint64_t>(c.left, data.size());
            c.left -= n;
            data.remove_prefix(n);
            if (n != 0 && phase(c) == 3) return end(c, true), false;
            if (c.left != 0) continue;
            c.in_body = false;
            if (!carry_out(c)) return false;
        }
        return true;
    }

    static int phase(const Connection& c) { return c.listener->fault.kind == "reset_phases" ? c.phase : -1; }
    static std::string method(const Connection& c) { return c.head.substr(0, c.head.find(' ')); }

    void note(char what, const Connection& c) {
        const std::string line =
            std::to_string(now_ns() / 1000) + " " + what + " " + method(c) + " " + field(c.head, "x-id") + "\n";
        if (::write(record_, line.data(), line.size()) < 0) die("record");  // one write: whole even if we are killed
    }

    /// A request head is there.
    bool begun(Connection& c) {
        note(is_probe(c.head) ? 'P' : 'H', c);
        if (c.listener->fault.kind != "reset_phases") return true;
        if (c.phase < 2) c.phase = 2 + static_cast<int>(c.listener->count++ % 3);
        if (c.phase == 2 || (c.phase == 3 && c.left == 0)) return end(c, true), false;
        return true;
    }

    /// A whole request is there: answers it as the fault of the hour wants.
    bool carry_out(Connection& c) {
        const bool probe = is_probe(c.head);
        Fault fault = c.listener->fault;
        if (probe && !health_.empty()) fault = health_ == "200" ? Fault{} : Fault{"status", 503, 100};
        if (!probe) note('X', c);
        if (fault.kind == "hang") {
            c.silent = true;
            return true;
        }
        c.answer = answer_to(c.head, region_, work_, fault, c.listener->count);
        c.sent = c.allowed = 0;
        c.head.clear();
        c.due = now_ns() + c.answer.delay;
        return true;
    }

    bool advance(Connection& c, std::uint64_t now) {
        c.allowed += c.answer.step;
        c.due = c.allowed >= c.answer.text.size() ? 0 : now + c.answer.interval;
        return send(c);
    }

    bool send(Connection& c) {
        const std::size_t until = std::min({c.allowed, c.answer.text.size(), c.answer.cut});
        while (c.sent < until) {
            std::size_t n = 0;
            const Io io = c.stream.write(c.answer.text.data() + c.sent, until - c.sent, n);
            if (io == Io::again) {
                watch(c, true);
                return true;
            }
            if (io != Io::ok) return false;
            c.sent += n;
        }
        if (c.sent == c.answer.cut) return end(c, c.answer.cut_by_reset), false;
        if (c.sent == c.answer.text.size()) c.answer.text.clear();
        watch(c, false);
        return true;
    }

    void watch(Connection& c, bool write) {
        if (c.wants_write == write) return;
        c.wants_write = write;
        poller_.modify(c.stream.fd(), EPOLLIN | (write ? EPOLLOUT : 0U), &c);
    }

    // ---- faults
    void cut_all(const Listener& l) {
        for (Connection& c : connections_)
            if (c.listener == &l) end(c, true);
        connections_.remove_if([](const Connection& c) { return c.dead; });
    }

    /// What arrives at these sockets is lost on the way, SYN and ACK alike: no answer of any kind.
    void drop(Listener& l, bool on) {
        sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
        const sock_fprog program{1, nothing};
        const auto set = [&](int fd) {
            const int zero = 0;
            if (::setsockopt(fd, SOL_SOCKET, on ? SO_ATTACH_FILTER : SO_DETACH_FILTER,
                             on ? static_cast<const void*>(&program) : &zero, on ? sizeof program : sizeof zero) != 0 &&
                on)
                die("SO_ATTACH_FILTER");
        };
        set(l.fd);
        for (Connection& c : connections_) {
            if (c.listener != &l) continue;
            set(c.stream.fd());
            if (on) c.due = 0, c.silent = true;  // nor does anything get out
        }
    }

    /// The accept queue is full: the kernel drops each SYN.
    void fill(Listener& l) {
        poller_.modify(l.fd, 0, &l);
        ::listen(l.fd, 0);
        for (int i = 0; i < 4; ++i) {
            const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            sockaddr_in address = loopback(port_);
            address.sin_addr.s_addr = htonl(l.address);
            if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS) {
                ::close(fd);
                continue;  // it fills no place
            }
            l.fillers.push_back(fd);
        }
    }

    void set(Listener& l, const Fault& fault) {
        const std::string old = std::exchange(l.fault.kind, fault.kind);
        l.fault = fault;
        l.count = 0;
        if (old == "drop") drop(l, false);
        if (old == "syn_drop") {
            for (int fd : std::exchange(l.fillers, {})) ::close(fd);
            ::listen(l.fd, 4096);
            poller_.modify(l.fd, EPOLLIN, &l);
        }
        if (old == "drop" || old == "hang" || old == "tls_hang") {  // what hung then is lost
            for (Connection& c : connections_)
                if (c.listener == &l && c.silent) c.dead = true;
        }
        if (fault.kind == "refuse" && l.fd >= 0) ::close(std::exchange(l.fd, -1));
        if (fault.kind != "refuse" && l.fd < 0) open(l);
        if (fault.kind == "syn_drop") fill(l);  // before the edge has a reason to connect anew: the last place is ours
        if (fault.kind == "refuse" || fault.kind == "tls_hang" || fault.kind == "syn_drop") cut_all(l);
        if (fault.kind == "drop") drop(l, true);
    }

    /// False when there will be no more commands.
    bool obey() {
        char text[4096];
        const ssize_t n = ::read(STDIN_FILENO, text, sizeof text);
        if (n <= 0) return n < 0 && errno == EAGAIN;
        commands_.append(text, static_cast<std::size_t>(n));
        for (std::size_t end_of_line; (end_of_line = commands_.find('\n')) != std::string::npos;) {
            std::istringstream line(commands_.substr(0, end_of_line));
            commands_.erase(0, end_of_line + 1);
            std::string word;
            line >> word;
            std::size_t only = std::string::npos;
            if (word == "at") line >> only >> word;
            if (word == "health") {  // "200", "503", or nothing: as the requests
                health_.clear();
                line >> health_;
            } else if (word == "identity") {
                std::string certificate, key;
                line >> certificate >> key;
                if (!use(certificate, key)) die("certificate or key not readable");
                for (const Listener& l : listeners_) cut_all(l);
            } else {
                Fault fault{word, 0, 0};
                line >> fault.a >> fault.b;
                for (std::size_t i = 0; i < listeners_.size(); ++i)
                    if (only == std::string::npos || only == i)
                        set(*std::next(listeners_.begin(), static_cast<long>(i)), fault);
            }
            std::puts("ok");
            std::fflush(stdout);
        }
        return true;
    }

    SslContext tls_;
    std::string region_;
    int record_;
    std::uint64_t work_;
    std::uint16_t port_ = 0;
    Poller poller_;
    std::list<Listener> listeners_;
    std::list<Connection> connections_;
    std::string health_;
    std::string commands_;
    char buffer_[64 * 1024];
};

}  // namespace
}  // namespace nearhop::bench

int main(int argc, char** argv) {
    using namespace nearhop::bench;
    std::signal(SIGPIPE, SIG_IGN);
    const auto port = static_cast<std::uint16_t>(std::atoi(option(argc, argv, "--port", "0").c_str()));
    const int addresses = std::atoi(option(argc, argv, "--addresses", "1").c_str());
    const auto work = std::strtoull(option(argc, argv, "--work-ms", "20").c_str(), nullptr, 10) * ms;
    const int record =
        ::open(option(argc, argv, "--record", "").c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (record < 0) die("--record");
    const auto origin = std::make_unique<Origin>(option(argc, argv, "--region", "nowhere"), record, work);
    if (!origin->use(option(argc, argv, "--certificate", ""), option(argc, argv, "--key", "")))
        die("certificate or key not readable");
    for (int i = 0; i < addresses; ++i) origin->listen(INADDR_LOOPBACK + static_cast<std::uint32_t>(i), port);
    std::puts("ok");
    std::fflush(stdout);
    origin->run();
}
