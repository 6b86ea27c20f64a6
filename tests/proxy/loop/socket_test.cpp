#include "tests/proxy/loop/support.h"

#include <memory>
#include <sys/uio.h>
#include <vector>

namespace nearhop::loop {
namespace {

using test::Listening;
using test::run;
using test::TcpPair;
using test::Until;

struct Fixture : testing::Test {
    Loop loop;
    Wake wake{loop};
    TcpPair pair;
    std::unique_ptr<Socket> socket;

    void open() { socket = std::make_unique<Socket>(loop, pair.ours.release(), wake); }

    Task<void> wait() { co_await wake.wait(); }
    /// Reads until nothing more comes, one buffer of `room` at a time.
    Task<void> read_to_end(std::size_t room, std::string& into, IoResult& last) {
        std::vector<char> buffer(room);
        for (;;) {
            last = socket->read(buffer.data(), room);
            if (last.io == Io::ok)
                into.append(buffer.data(), last.bytes);
            else if (last.io == Io::blocked)
                co_await wake.wait();
            else
                co_return;
        }
    }
};
using SocketTest = Fixture;

TEST_F(SocketTest, BeforeTheFirstEventAReadMakesNoCall) {
    test::send_all(pair.theirs.get(), "early");
    open();
    char byte = 0;
    EXPECT_EQ(socket->read(&byte, 1).io, Io::blocked) << "readiness comes from the loop";
    run(loop, wait());
    EXPECT_EQ(socket->read(&byte, 1).io, Io::ok);
    EXPECT_EQ(byte, 'e');
}

TEST_F(SocketTest, AShortReadIsTheLastOneUntilTheNextEvent) {
    open();
    test::send_all(pair.theirs.get(), "abc");
    run(loop, wait());
    char buffer[16];
    const auto got = socket->read(buffer, sizeof buffer);
    ASSERT_EQ(got.io, Io::ok);
    ASSERT_EQ(got.bytes, 3U);
    EXPECT_FALSE(socket->maybe_readable());
    EXPECT_EQ(socket->read(buffer, sizeof buffer).io, Io::blocked);
}

TEST_F(SocketTest, AFullReadMayBeFollowedByAnother) {
    open();
    test::send_all(pair.theirs.get(), "abcdef");
    run(loop, wait());
    char buffer[3];
    EXPECT_EQ(socket->read(buffer, 3).bytes, 3U);
    EXPECT_TRUE(socket->maybe_readable());
    EXPECT_EQ(socket->read(buffer, 3).bytes, 3U);
    EXPECT_EQ(socket->read(buffer, 3).io, Io::blocked);
}

TEST_F(SocketTest, UnreadBytesBeforeAnOrderlyEndAreAllDelivered) {
    for (const std::size_t room : {1UL, 7UL, 4096UL, 100'000UL}) {
        TcpPair both;
        Loop own;
        Wake own_wake{own};
        Socket own_socket{own, both.ours.release(), own_wake};
        const std::string sent(10'000, 'x');
        test::send_all(both.theirs.get(), sent);
        both.theirs.reset();
        std::string got;
        bool closed = false;
        ASSERT_TRUE((Until{
            own,
            [&] {
                std::vector<char> buffer(room);
                for (;;) {
                    const auto step = own_socket.read(buffer.data(), room);
                    if (step.io == Io::ok) got.append(buffer.data(), step.bytes);
                    closed = step.io == Io::closed;
                    if (step.io != Io::ok) return closed;
                }
            }}.run()))
            << room;
        EXPECT_EQ(got.size(), sent.size());
        EXPECT_TRUE(own_socket.hung_up());
        EXPECT_FALSE(own_socket.broken()) << "our own side is still open";
    }
}

TEST_F(SocketTest, AResetBreaksBothWays) {
    open();
    test::reset_on_close(pair.theirs.get());
    pair.theirs.reset();
    std::string got;
    IoResult last;
    run(loop, read_to_end(64, got, last));
    EXPECT_EQ(last.io, Io::failed);
    EXPECT_EQ(last.error, ECONNRESET);
    EXPECT_TRUE(socket->broken());
    EXPECT_TRUE(socket->hung_up());
}

TEST_F(SocketTest, ResetIsSeenAsSuchByThePeer) {
    open();
    socket->reset();
    EXPECT_FALSE(socket->is_open());
    char byte = 0;
    EXPECT_EQ(::recv(pair.theirs.get(), &byte, 1, 0), -1);
    EXPECT_EQ(errno, ECONNRESET);
}

TEST_F(SocketTest, ShutdownEndsOurSideOnly) {
    open();
    socket->shutdown_write();
    char byte = 0;
    EXPECT_EQ(::recv(pair.theirs.get(), &byte, 1, 0), 0);
    test::send_all(pair.theirs.get(), "z");
    run(loop, wait());
    EXPECT_EQ(socket->read(&byte, 1).io, Io::ok);
    EXPECT_EQ(byte, 'z');
}

Task<void> write_all(Socket& socket, Wake& wake, std::string_view bytes, int& partial) {
    while (!bytes.empty()) {
        const iovec part{const_cast<char*>(bytes.data()), bytes.size()};
        const auto result = socket.write(&part, 1);
        if (result.io == Io::ok) {
            if (result.bytes < bytes.size()) ++partial;
            bytes.remove_prefix(result.bytes);
        } else if (result.io == Io::blocked) {
            co_await wake.wait();
        } else {
            throw std::runtime_error{"write failed"};
        }
    }
}
Task<void> drain_slowly(Socket& socket, Wake& wake, std::string& into, std::size_t wanted) {
    std::vector<char> buffer(3001);
    while (into.size() < wanted) {
        const auto got = socket.read(buffer.data(), buffer.size());
        if (got.io == Io::ok)
            into.append(buffer.data(), got.bytes);
        else if (got.io == Io::blocked)
            co_await wake.wait();
        else
            throw std::runtime_error{"read failed"};
    }
}

TEST_F(SocketTest, AFullSocketTakesAPartAndSaysWhenItTakesMore) {
    ASSERT_EQ(::fcntl(pair.theirs.get(), F_SETFL, O_NONBLOCK), 0);
    const int small = 4096;
    ASSERT_EQ(::setsockopt(pair.ours.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    open();
    Wake their_wake{loop};
    Socket reader{loop, pair.theirs.release(), their_wake};
    std::string sent;
    for (int i = 0; sent.size() < 3'000'000; ++i) sent += std::to_string(i);
    std::string got;
    int partial = 0;
    const auto writing = write_all(*socket, wake, sent, partial);
    const auto reading = drain_slowly(reader, their_wake, got, sent.size());
    writing.start();
    EXPECT_FALSE(writing.done());
    reading.start();
    ASSERT_TRUE((Until{loop, [&] { return writing.done() && reading.done(); }}.run()));
    EXPECT_GT(partial, 0);
    EXPECT_TRUE(got == sent);
}

TEST_F(SocketTest, WritingToWhoHasResetFailsWithoutASignal) {
    open();
    test::reset_on_close(pair.theirs.get());
    pair.theirs.reset();
    run(loop, wait());
    const iovec part{const_cast<char*>("x"), 1};
    IoResult last;
    for (int i = 0; i < 2 && last.io != Io::failed; ++i) last = socket->write(&part, 1);
    EXPECT_EQ(last.io, Io::failed);
    EXPECT_TRUE(socket->broken());
}

TEST_F(SocketTest, SeveralPartsGoOutInOneWrite) {
    open();
    iovec parts[3] = {{const_cast<char*>("ab"), 2}, {const_cast<char*>(""), 0}, {const_cast<char*>("cde"), 3}};
    const auto result = socket->write(parts, 3);
    EXPECT_EQ(result.io, Io::ok);
    EXPECT_EQ(result.bytes, 5U);
    char buffer[8];
    ASSERT_EQ(::recv(pair.theirs.get(), buffer, sizeof buffer, 0), 5);
    EXPECT_EQ(std::string_view(buffer, 5), "abcde");
}

struct PathTest : SocketTest {
    /// Until the kernel says so, looked at every few milliseconds.
    bool becomes(Socket::Delivery wanted) {
        Timer timer{loop, wake};
        return Until{loop,
                     [&] {
                         timer.expires_after(milliseconds{10});
                         return socket->delivery() == wanted;
                     }}
            .run();
    }
    void send_and_be_heard() {
        open();
        iovec part{const_cast<char*>("x"), 1};
        ASSERT_EQ(socket->write(&part, 1).io, Io::ok);
        char byte = 0;
        ASSERT_EQ(::recv(pair.theirs.get(), &byte, 1, 0), 1);
        ASSERT_TRUE(becomes(Socket::Delivery::acknowledged));
    }
};

TEST_F(PathTest, WhatArrivesNowhereIsLost) {
    open();
    test::drop_packets(pair.theirs.get());
    iovec part{const_cast<char*>("x"), 1};
    ASSERT_EQ(socket->write(&part, 1).io, Io::ok);
    EXPECT_EQ(socket->delivery(), Socket::Delivery::under_way);
    EXPECT_TRUE(becomes(Socket::Delivery::lost));
}

TEST_F(PathTest, AfterAnAcknowledgementOnlyAskingTells) {
    send_and_be_heard();
    test::drop_packets(pair.theirs.get());
    socket->ask_path(true);
    EXPECT_EQ(socket->delivery(), Socket::Delivery::acknowledged);
    EXPECT_TRUE(becomes(Socket::Delivery::unanswered));
}

TEST_F(PathTest, OneThatLivesAnswers) {
    send_and_be_heard();
    socket->ask_path(true);
    const auto until = Clock::now() + milliseconds{1500};
    Timer timer{loop, wake};
    bool doubted = false;
    EXPECT_TRUE((Until{
        loop, [&] {
            timer.expires_after(milliseconds{10});
            doubted |= socket->delivery() != Socket::Delivery::acknowledged;
            return Clock::now() >= until;
        }}.run()));
    EXPECT_FALSE(doubted);
}

TEST_F(SocketTest, NotificationsGoToWhomTheyAreSentLast) {
    open();
    struct Other final : Notify {
        void notify() noexcept override { ++calls; }
        int calls = 0;
    } other;
    socket->notify_to(other);
    test::send_all(pair.theirs.get(), "x");
    ASSERT_TRUE((Until{loop, [&] { return other.calls > 0; }}.run()));
}

int begin_connect(const sockaddr_in& where) {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int done = ::connect(descriptor, reinterpret_cast<const sockaddr*>(&where), sizeof where);
    EXPECT_TRUE(done == 0 || errno == EINPROGRESS) << errno;
    return descriptor;
}

TEST(Connecting, IsPendingUntilTheLoopSaysOtherwise) {
    Loop loop;
    Wake wake{loop};
    const Listening listening;
    Socket socket{loop, begin_connect(listening.address), wake, true};
    EXPECT_TRUE(socket.connected().pending);
    char byte = 0;
    const iovec part{&byte, 1};
    EXPECT_EQ(socket.write(&part, 1).io, Io::blocked);
    ASSERT_TRUE((Until{loop, [&] { return !socket.connected().pending; }}.run()));
    EXPECT_EQ(socket.connected().error, 0);
    EXPECT_EQ(socket.write(&part, 1).io, Io::ok);
}

TEST(Connecting, ARefusalIsReportedWithItsError) {
    Loop loop;
    Wake wake{loop};
    sockaddr_in nobody{};
    {
        const Listening bound{-1};  // bound and not listening: nobody else gets the port, and it refuses
        nobody = bound.address;
        const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const int done = ::connect(descriptor, reinterpret_cast<const sockaddr*>(&nobody), sizeof nobody);
        if (done != 0 && errno == ECONNREFUSED) {
            ::close(descriptor);
            return;  // told at once on this kernel
        }
        Socket socket{loop, descriptor, wake, true};
        Socket::Connected connected{true, 0};
        ASSERT_TRUE((Until{
            loop, [&] {
                connected = socket.connected();
                return !connected.pending;
            }}.run()));
        EXPECT_EQ(connected.error, ECONNREFUSED);
        EXPECT_NE(socket.connected().error, 0) << "asked again it is still not connected";
        EXPECT_TRUE(socket.broken());
    }
}

TEST(Connecting, ASocketThatCannotBeWatchedIsNotConnected) {
    Loop loop;
    Wake wake{loop};
    Socket socket{loop, ::open("/dev/null", O_RDONLY | O_CLOEXEC), wake, true};  // epoll refuses plain files
    const auto connected = socket.connected();
    EXPECT_FALSE(connected.pending);
    EXPECT_NE(connected.error, 0);
    EXPECT_TRUE(socket.broken());
}

}  // namespace
}  // namespace nearhop::loop
