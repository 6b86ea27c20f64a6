#include "proxy/control/control_check.h"

#include "tests/proxy/control/support.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace nearhop::control {
namespace {

using namespace std::chrono_literals;
using health::Sign;
using Kind = conf::ControlTarget::Kind;

/// A bound socket on loopback: listening or not, and for UDP with answers that the test makes.
class Bound {
public:
    Bound(int type, bool listens) : descriptor_{::socket(AF_INET, type | SOCK_CLOEXEC, 0)} {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at;
        EXPECT_EQ(::bind(descriptor_, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
        EXPECT_EQ(::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&at), &size), 0);
        EXPECT_TRUE(!listens || ::listen(descriptor_, 8) == 0);
        port_ = ntohs(at.sin_port);
    }
    ~Bound() { close(); }
    void close() {
        if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
    }
    std::uint16_t port() const { return port_; }
    int descriptor() const { return descriptor_; }

private:
    int descriptor_;
    std::uint16_t port_ = 0;
};

loop::Task<> check_into(ControlCheck& check, std::chrono::milliseconds timeout, ControlCheck::Outcome& outcome) {
    outcome = co_await check.check(timeout);
}

ControlCheck::Outcome checked(Kind kind, std::uint16_t port, std::chrono::milliseconds timeout = 5s,
                              const char* address = "127.0.0.1") {
    loop::Loop loop;
    ControlCheck check{loop, {kind, {address, port}}};
    ControlCheck::Outcome outcome;
    EXPECT_TRUE(drive(loop, check_into(check, timeout, outcome)));
    return outcome;
}

TEST(ControlCheck, AnAcceptAndARefusalAreAnswers) {
    Bound listener{SOCK_STREAM, true}, closed{SOCK_STREAM, false}, datagrams{SOCK_DGRAM, false};
    const auto accepted = checked(Kind::tcp, listener.port());
    EXPECT_EQ(accepted.sign, Sign::answered);
    EXPECT_EQ(accepted.how, "connected");
    const auto refused = checked(Kind::tcp, closed.port());
    EXPECT_EQ(refused.sign, Sign::answered);
    EXPECT_EQ(refused.how, "refused");
    datagrams.close();
    const auto unreachable = checked(Kind::dns, datagrams.port());
    EXPECT_EQ(unreachable.sign, Sign::answered);
    EXPECT_EQ(unreachable.how, "refused");
}

TEST(ControlCheck, SilenceEndsWithTheTimeAndIsAskedTwice) {
    Bound silent{SOCK_DGRAM, false};
    const auto began = loop::Clock::now();
    const auto outcome = checked(Kind::dns, silent.port(), 100ms);
    EXPECT_EQ(outcome.sign, Sign::silent);
    EXPECT_EQ(outcome.how, "timeout");
    EXPECT_GE(loop::Clock::now() - began, 100ms);
    char question[64];
    int asked = 0;
    while (::recv(silent.descriptor(), question, sizeof question, MSG_DONTWAIT) == 17) ++asked;
    EXPECT_EQ(asked, 2);
}

TEST(ControlCheck, NoWayOutIsSilenceAtOnce) {
    // A multicast address takes no TCP connection: ENETUNREACH without a network of one's own.
    const auto outcome = checked(Kind::tcp, 53, 5s, "224.0.0.1");
    EXPECT_EQ(outcome.sign, Sign::silent);
    EXPECT_EQ(outcome.how, "unreachable");
}

TEST(ControlCheck, OnlyAnAnswerToTheQuestionCounts) {
    Bound server{SOCK_DGRAM, false};
    std::thread answering{[&] {
        unsigned char message[64];
        sockaddr_in from{};
        socklen_t size = sizeof from;
        const auto got =
            ::recvfrom(server.descriptor(), message, sizeof message, 0, reinterpret_cast<sockaddr*>(&from), &size);
        if (got != 17) return;
        const auto send = [&](std::size_t length) {
            ::sendto(server.descriptor(), message, length, 0, reinterpret_cast<const sockaddr*>(&from), size);
        };
        send(17);  // our own question is none
        message[2] |= 0x80;
        send(5);  // nor is half a head
        message[0] ^= 1;
        send(12);  // nor an answer to another one
        message[0] ^= 1;
        message[3] = 5;  // REFUSED will do
        send(12);
    }};
    const auto outcome = checked(Kind::dns, server.port());
    answering.join();
    EXPECT_EQ(outcome.sign, Sign::answered);
    EXPECT_EQ(outcome.how, "answer");
}

TEST(ControlCheck, AFloodOfStraysEndsItAndSaysNothing) {
    Bound server{SOCK_DGRAM, false};
    std::thread answering{[&] {
        unsigned char message[64];
        sockaddr_in from{};
        socklen_t size = sizeof from;
        ::recvfrom(server.descriptor(), message, sizeof message, 0, reinterpret_cast<sockaddr*>(&from), &size);
        for (int i = 0; i < 100; ++i)
            ::sendto(server.descriptor(), message, 5, 0, reinterpret_cast<const sockaddr*>(&from), size);
    }};
    const auto outcome = checked(Kind::dns, server.port());
    answering.join();
    EXPECT_EQ(outcome.sign, Sign::none);
    EXPECT_EQ(outcome.how, "flooded");
}

TEST(ControlCheck, TheResolversOwnServerAnswers) {
    DnsServer server;
    const auto port = static_cast<std::uint16_t>(std::stoi(server.address().substr(server.address().find(':') + 1)));
    EXPECT_EQ(checked(Kind::dns, port).sign, Sign::answered) << "whatever it says of the root";
}

}  // namespace
}  // namespace nearhop::control
