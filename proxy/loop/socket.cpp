#include "proxy/loop/socket.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace nearhop::loop {
namespace {
constexpr std::uint32_t reads = EPOLLIN | EPOLLRDHUP;
constexpr std::chrono::seconds ask_after{1};  // the least that the kernel takes
constexpr unsigned repeated = 2;              // times that bytes were sent again

bool tell(int descriptor, tcp_info& info) noexcept {
    socklen_t size = sizeof info;
    return descriptor >= 0 && getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) == 0;
}
}  // namespace

Socket::Socket(Loop& owner, int descriptor, Notify& notify, bool connecting) noexcept {
    open(owner, descriptor, notify, connecting);
}

void Socket::open(Loop& owner, int descriptor, Notify& notify, bool connecting) noexcept {
    loop_ = &owner;
    notify_ = &notify;
    descriptor_ = descriptor;
    writable_ = !connecting;
    watching_writes_ = connecting;
    // Without EPOLLOUT an accepted socket does not wake its session only to say that it may write.
    if (!loop_->watch(descriptor_, connecting ? reads | EPOLLOUT : reads, *this)) broken_ = hung_up_ = true;
}

void Socket::on_events(std::uint32_t events) noexcept {
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) readable_ = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) writable_ = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) hung_up_ = true;
    if (events & (EPOLLHUP | EPOLLERR)) broken_ = true;
    notify_->notify();
}

IoResult Socket::read(void* into, std::size_t room) noexcept {
    if (!readable_) return {};
    for (;;) {
        const ssize_t got = ::recv(descriptor_, into, room, 0);
        if (got > 0) {
            // With the end in sight the edge will not come again: keep reading until it is reached.
            if (static_cast<std::size_t>(got) < room && !hung_up_) readable_ = false;
            return {Io::ok, static_cast<std::size_t>(got), 0};
        }
        if (got == 0) return {Io::closed, 0, 0};
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            readable_ = false;
            return {};
        }
        broken_ = hung_up_ = true;
        return {Io::failed, 0, errno};
    }
}

IoResult Socket::write(const iovec* parts, int count) noexcept {
    if (!writable_) return {};
    std::size_t wanted = 0;
    for (int i = 0; i < count; ++i) wanted += parts[i].iov_len;
    if (wanted == 0) return {Io::ok, 0, 0};
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts);
    message.msg_iovlen = static_cast<std::size_t>(count);
    for (;;) {
        const ssize_t sent = count == 1 ? ::send(descriptor_, parts->iov_base, parts->iov_len, MSG_NOSIGNAL)
                                        : ::sendmsg(descriptor_, &message, MSG_NOSIGNAL);
        if (sent >= 0 && static_cast<std::size_t>(sent) == wanted) return {Io::ok, wanted, 0};
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
            broken_ = true;
            return {Io::failed, 0, errno};
        }
        writable_ = false;
        if (!watching_writes_) {
            watching_writes_ = true;
            if (!loop_->rewatch(descriptor_, reads | EPOLLOUT, *this)) return {Io::failed, 0, errno};
        }
        if (sent > 0) return {Io::ok, static_cast<std::size_t>(sent), 0};
        return {};
    }
}

Socket::Connected Socket::connected() noexcept {
    if (!writable_ && !broken_) return {true, 0};
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    // The kernel tells an error once only; a socket that could not be watched has none of its own.
    if (error == 0 && broken_) error = ECONNABORTED;
    return {false, error};
}

// A peer that keeps its window closed acknowledges what probes it, so that nothing counts as unacknowledged then.
Socket::Delivery Socket::delivery() const noexcept {
    tcp_info info{};
    if (!tell(descriptor_, info)) return Delivery::under_way;
    if (info.tcpi_unacked != 0) return info.tcpi_retransmits >= repeated ? Delivery::lost : Delivery::under_way;
    if (info.tcpi_probes == 0) return Delivery::acknowledged;
    if (info.tcpi_probes > repeated) return Delivery::lost;
    // The kernel does not say when it asked: a second after the last packet, or when keep-alive was turned on, if that
    // was later.
    const Clock::duration answer = std::max<Clock::duration>(
        std::chrono::milliseconds{100}, 2 * std::chrono::microseconds{std::int64_t{info.tcpi_rtt}});
    const bool answer_is_due = std::chrono::milliseconds{std::int64_t{info.tcpi_last_ack_recv}} >= ask_after + answer &&
                               loop_->now() >= asked_at_ + answer;
    return answer_is_due ? Delivery::unanswered : Delivery::acknowledged;
}

bool Socket::is_lost(int descriptor) noexcept {
    tcp_info info{};
    return tell(descriptor, info) && info.tcpi_unacked != 0 && info.tcpi_retransmits >= repeated;
}

std::size_t Socket::unacknowledged() const noexcept {
    int bytes = 0;
    if (descriptor_ < 0 || ioctl(descriptor_, SIOCOUTQ, &bytes) != 0) return 0;
    return static_cast<std::size_t>(std::max(bytes, 0));
}

void Socket::ask_path(bool on) noexcept {
    if (descriptor_ < 0 || on == (asked_at_ != TimePoint{})) return;
    asked_at_ = on ? loop_->now() : TimePoint{};
    const int value = on ? 1 : 0;
    setsockopt(descriptor_, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value);
    if (!on) return;
    // The idle time last: set while the option is on, it counts from when the peer was last heard.
    const auto seconds = static_cast<int>(ask_after.count());
    setsockopt(descriptor_, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
    setsockopt(descriptor_, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
}

void Socket::notify_again() noexcept {
    // A change of the registration has the kernel look, and tell what it finds as an edge.
    if (descriptor_ >= 0) loop_->rewatch(descriptor_, watching_writes_ ? reads | EPOLLOUT : reads, *this);
}

void Socket::shutdown_write() noexcept {
    if (descriptor_ >= 0) ::shutdown(descriptor_, SHUT_WR);
}

void Socket::reset() noexcept {
    if (descriptor_ < 0) return;
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
}

void Socket::close() noexcept {
    if (descriptor_ < 0) return;
    loop_->unwatch(descriptor_, *this);
    ::close(descriptor_);
    descriptor_ = -1;
}

}  // namespace nearhop::loop
