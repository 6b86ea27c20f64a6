#pragma once

#include "proxy/loop/loop.h"
#include "proxy/loop/socket.h"
#include "proxy/loop/task.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <functional>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

/// What the tests of everything that moves bytes share: connected pairs, loopback listeners and a loop that runs
/// until something is true.
namespace nearhop::test {

/// Runs `loop` until `done()`, looked at after every batch. A guard ends a test that would otherwise hang.
class Until final : private loop::Notify {
public:
    Until(loop::Loop& loop, std::function<bool()> done, loop::milliseconds guard = loop::milliseconds{20'000})
        : loop_{loop}, done_{std::move(done)}, guard_{loop, *this} {
        guard_.expires_after(guard);
        loop_.after_batch([this] {
            if (done_()) loop_.stop();
        });
        loop_.post([] {});  // a first batch, should everything be ready already
    }
    /// False when the guard ended it.
    bool run() {
        loop_.run();
        loop_.after_batch(nullptr);
        return !timed_out_;
    }

private:
    void notify() noexcept override {
        timed_out_ = true;
        loop_.stop();
    }
    loop::Loop& loop_;
    std::function<bool()> done_;
    loop::Timer guard_;
    bool timed_out_ = false;
};

/// Runs one coroutine to its end on `loop`; what it throws comes out here.
inline void run(loop::Loop& loop, const loop::Task<void>& task) {
    task.start();
    ASSERT_TRUE((Until{loop, [&] { return task.done(); }}.run())) << "the coroutine still waits";
    const_cast<loop::Task<void>&>(task).result();
}

/// A descriptor that closes itself.
class Descriptor {
public:
    explicit Descriptor(int number = -1) noexcept : number_{number} {}
    Descriptor(Descriptor&& other) noexcept : number_{std::exchange(other.number_, -1)} {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~Descriptor() { reset(); }
    int get() const noexcept { return number_; }
    int release() noexcept { return std::exchange(number_, -1); }
    void reset() noexcept {
        if (number_ >= 0) ::close(std::exchange(number_, -1));
    }

private:
    int number_;
};

/// A listener on loopback whose port the kernel chose.
struct Listening {
    explicit Listening(int backlog = 16) : descriptor{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        EXPECT_EQ(::bind(descriptor.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
        EXPECT_TRUE(backlog < 0 || ::listen(descriptor.get(), backlog) == 0);
        EXPECT_EQ(::getsockname(descriptor.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    }
    Descriptor accept() const { return Descriptor{::accept4(descriptor.get(), nullptr, nullptr, SOCK_CLOEXEC)}; }
    std::uint16_t port() const { return ntohs(address.sin_port); }

    Descriptor descriptor;
    sockaddr_in address{};
};

/// Two ends of one TCP connection over loopback: `ours` does not block, `theirs` does.
struct TcpPair {
    TcpPair() {
        const Listening listening;
        ours = Descriptor{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        EXPECT_EQ(
            ::connect(ours.get(), reinterpret_cast<const sockaddr*>(&listening.address), sizeof listening.address), 0);
        theirs = listening.accept();
        EXPECT_EQ(::fcntl(ours.get(), F_SETFL, O_NONBLOCK), 0);
    }
    Descriptor ours;
    Descriptor theirs;
};

inline void send_all(int descriptor, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        ASSERT_GT(sent, 0) << "errno " << errno;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
}

/// The next close of `descriptor` sends a reset.
inline void reset_on_close(int descriptor) {
    const linger now{.l_onoff = 1, .l_linger = 0};
    EXPECT_EQ(::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
}

/// From now on what arrives at `descriptor` is dropped: as behind a cut cable.
inline void drop_packets(int descriptor) {
    sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    const sock_fprog program{1, nothing};
    EXPECT_EQ(::setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0);
}

}  // namespace nearhop::test
