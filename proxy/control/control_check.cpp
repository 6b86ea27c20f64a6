#include "proxy/control/control_check.h"

#include "proxy/loop/socket.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace nearhop::control {
namespace {

using health::Sign;
using loop::Task;
using loop::TimePoint;

shared::Endpoint endpoint_of(const conf::ListenAddress& at) {
    shared::Endpoint endpoint;
    auto& six = reinterpret_cast<sockaddr_in6&>(endpoint.address);
    auto& four = reinterpret_cast<sockaddr_in&>(endpoint.address);
    if (inet_pton(AF_INET6, at.address.c_str(), &six.sin6_addr) == 1) {
        six.sin6_family = AF_INET6;
        six.sin6_port = htons(at.port);
        endpoint.size = sizeof six;
    } else if (inet_pton(AF_INET, at.address.c_str(), &four.sin_addr) == 1) {
        four.sin_family = AF_INET;
        four.sin_port = htons(at.port);
        endpoint.size = sizeof four;
    }
    return endpoint;
}

ControlCheck::Outcome outcome_of(int error) noexcept {
    switch (error) {
        case ECONNREFUSED:
        case ECONNRESET: return {Sign::answered, "refused"};
        case ETIMEDOUT: return {Sign::silent, "timeout"};
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
        case EADDRNOTAVAIL: return {};  // as of a probe: the edge's own trouble
        default: return {Sign::silent, "unreachable"};
    }
}

}  // namespace

ControlCheck::ControlCheck(loop::Loop& loop, const conf::ControlTarget& target)
    : target_{target}, endpoint_{endpoint_of(target.address)}, wake_{loop}, timer_{loop, wake_} {}

Task<ControlCheck::Outcome> ControlCheck::check(loop::milliseconds timeout) {
    const TimePoint began = wake_.loop().now();
    const bool tcp = target_.kind == conf::ControlTarget::Kind::tcp;
    const int descriptor =
        ::socket(endpoint_.address.ss_family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    Outcome outcome;
    if (descriptor < 0) {
        outcome = outcome_of(errno);
    } else if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&endpoint_.address), endpoint_.size) != 0 &&
               errno != EINPROGRESS) {
        outcome = outcome_of(errno);
        ::close(descriptor);
    } else if (tcp) {
        outcome = co_await connect(descriptor, began + timeout);
    } else {
        outcome = co_await question(descriptor, began + timeout);
    }
    timer_.clear();
    outcome.began = began;
    co_return outcome;
}

Task<ControlCheck::Outcome> ControlCheck::connect(int descriptor, TimePoint deadline) {
    loop::Socket socket{wake_.loop(), descriptor, wake_, true};
    timer_.expires_at(deadline);
    for (;;) {
        const auto connected = socket.connected();
        if (!connected.pending && connected.error == 0) co_return Outcome{Sign::answered, "connected"};
        if (!connected.pending) co_return outcome_of(connected.error);
        if (timer_.expired()) co_return Outcome{Sign::silent, "timeout"};
        co_await wake_.wait();
    }
}

/// Asked twice, since one datagram is lost now and then. Whatever comes back with our number will do.
Task<ControlCheck::Outcome> ControlCheck::question(int descriptor, TimePoint deadline) {
    constexpr unsigned most_strays = 64;
    const loop::Socket socket{wake_.loop(), descriptor, wake_};
    // Recursion desired, one question: the root, NS, IN.
    std::array<unsigned char, 17> bytes{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1};
    ++number_;
    bytes[0] = static_cast<unsigned char>(number_ >> 8);
    bytes[1] = static_cast<unsigned char>(number_);
    const TimePoint began = wake_.loop().now();
    TimePoint again = began;
    for (unsigned strays = 0;;) {
        const TimePoint now = wake_.loop().now();
        std::array<unsigned char, 512> answer;
        // Not by Socket::read(): that takes a short read for the last one, and each datagram is a read of its own.
        const auto got = ::recv(descriptor, answer.data(), answer.size(), 0);
        if (got >= 12 && answer[0] == bytes[0] && answer[1] == bytes[1] && (answer[2] & 0x80) != 0)
            co_return Outcome{Sign::answered, "answer"};
        // A flood of others' datagrams must not keep the thread, and says nothing of the way there.
        if (got >= 0 && ++strays > most_strays) co_return Outcome{Sign::none, "flooded"};
        if (got >= 0) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) co_return outcome_of(errno);
        if (now >= deadline) co_return Outcome{Sign::silent, "timeout"};
        if (now >= again) {
            again = now == began ? began + (deadline - began) / 2 : TimePoint::max();
            if (::send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0 && errno != EAGAIN)
                co_return outcome_of(errno);
        }
        timer_.expires_at(std::min(again, deadline));
        co_await wake_.wait();
    }
}

}  // namespace nearhop::control
