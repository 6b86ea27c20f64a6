#include "proxy/client/listener.h"

#include "conf/syntax.h"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace nearhop::client {
namespace {

constexpr int backlog = 4096;
constexpr loop::milliseconds retry_after{100};

socklen_t fill(const conf::ListenAddress& from, sockaddr_storage& into) {
    into = {};
    if (auto* four = reinterpret_cast<sockaddr_in*>(&into);
        inet_pton(AF_INET, from.address.c_str(), &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(from.port);
        return sizeof *four;
    }
    auto* six = reinterpret_cast<sockaddr_in6*>(&into);
    if (inet_pton(AF_INET6, from.address.c_str(), &six->sin6_addr) != 1) return 0;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(from.port);
    return sizeof *six;
}

/// [::] takes IPv4 as well, whatever the system's bindv6only says: conf::overlap() counts on it.
void take_both_versions(int descriptor, const sockaddr_storage& where) noexcept {
    const int off = 0;
    if (where.ss_family == AF_INET6) setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
}

/// From here on nobody new gets into the accept queue: a connection made between its last look and close() would be
/// reset. A SYN that is dropped is sent again, and then refused or taken by the next listener.
void take_no_more(int descriptor) noexcept {
    // The packet begins at its TCP header (RFC 9293 section 3.1): byte 13 holds the flags.
    sock_filter only_without_syn[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffff'ffff),
    };
    const sock_fprog program{std::size(only_without_syn), only_without_syn};
    setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

}  // namespace

int open_listener(conf::ListenAddress& address, std::string& error) {
    sockaddr_storage where;
    socklen_t size = fill(address, where);
    const auto failed = [&](int descriptor) {
        error = conf::to_string(address) + ": " + std::strerror(errno);
        if (descriptor >= 0) ::close(descriptor);
        return -1;
    };
    if (size == 0) {
        errno = EINVAL;
        return failed(-1);
    }
    const int descriptor = ::socket(where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return failed(descriptor);
    const int on = 1;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // inherited by accepted sockets
    take_both_versions(descriptor, where);
    if (::bind(descriptor, reinterpret_cast<sockaddr*>(&where), size) != 0) return failed(descriptor);
    if (::listen(descriptor, backlog) != 0) return failed(descriptor);
    size = sizeof where;
    if (getsockname(descriptor, reinterpret_cast<sockaddr*>(&where), &size) != 0) return failed(descriptor);
    address.port = ntohs(where.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(where).sin_port
                                                    : reinterpret_cast<sockaddr_in6&>(where).sin6_port);
    return descriptor;
}

int bind_error(const conf::ListenAddress& address) {
    sockaddr_storage where;
    const socklen_t size = fill(address, where);
    if (size == 0) return EINVAL;
    const int descriptor = ::socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    take_both_versions(descriptor, where);
    const bool is_free = descriptor >= 0 && ::bind(descriptor, reinterpret_cast<sockaddr*>(&where), size) == 0;
    const int why = errno;
    if (descriptor >= 0) ::close(descriptor);
    return is_free ? 0 : why;
}

std::string why_not_free(const conf::ListenAddress& address) {
    const int why = bind_error(address);
    return why == 0 ? std::string{} : conf::to_string(address) + ": " + std::strerror(why);
}

Listener::Listener(exchange::Context& context, Sessions& sessions, int descriptor,
                   std::shared_ptr<const ListenerFacts> facts)
    : context_{context},
      sessions_{sessions},
      descriptor_{descriptor},
      facts_{std::move(facts)},
      pause_{context.loop, *this} {
    context_.loop.watch(descriptor_, EPOLLIN, *this);
}

Listener::~Listener() {
    context_.loop.unwatch(descriptor_, *this);
    take_no_more(descriptor_);
    while (accept_some()) {  // who is in the queue already has been promised a session
    }
    ::close(descriptor_);
}

void Listener::on_events(std::uint32_t) noexcept { notify(); }

void Listener::notify() noexcept {
    pause_.clear();
    // Fair to the sessions that wait in the same batch: the rest is taken on the next turn.
    if (accept_some()) pause_.expires_after(loop::milliseconds{0});
}

/// True when there may be more in the queue.
bool Listener::accept_some() noexcept {
    for (int i = 0; i < 256; ++i) {
        sockaddr_storage peer{};
        socklen_t size = sizeof peer;
        const int descriptor =
            ::accept4(descriptor_, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor >= 0) {
            try {
                sessions_.open(facts_, descriptor, Party::from(reinterpret_cast<const sockaddr*>(&peer)));
            } catch (const std::bad_alloc&) {
                context_.counters.accept_errors.add();
            }
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
        if (errno == EINTR || errno == ECONNABORTED) continue;
        context_.counters.accept_errors.add();  // EMFILE and friends: slow down, do not spin, do not die
        pause_.expires_after(retry_after);
        return false;
    }
    return true;
}

}  // namespace nearhop::client
