#pragma once

#include "proxy/client/http1_codec.h"
#include "tests/proxy/loop/support.h"

#include <string>
#include <sys/epoll.h>

namespace nearhop::client {

using account::Fault;
using loop::Io;
using wire::Framing;
using Read = Http1Codec::Read;

/// A codec at one end of a loopback connection; the test is the client at the other.
struct CodecTest : testing::Test {
    CodecTest() {
        EXPECT_EQ(::fcntl(pair.theirs.get(), F_SETFL, O_NONBLOCK), 0);
        stream.socket().open(loop, pair.ours.release(), notified, false);
        codec.begin_request(limits);
    }
    struct Count final : loop::Notify {
        void notify() noexcept override { ++calls; }
        int calls = 0;
    };

    /// The loop does not run here: the socket is told by hand what epoll would say. Over loopback the bytes are there
    /// when send() returns.
    void let_arrive() { stream.socket().on_events(EPOLLIN); }
    void send(std::string_view bytes) {
        test::send_all(pair.theirs.get(), bytes);
        let_arrive();
    }
    void hang_up() {
        ::shutdown(pair.theirs.get(), SHUT_WR);
        stream.socket().on_events(EPOLLIN | EPOLLRDHUP);
    }
    Read read(std::string_view head) {
        send(head);
        return codec.read_head();
    }
    /// What a client got so far.
    std::string received() {
        EXPECT_NE(codec.flush(), Io::failed);
        char buffer[4096];
        for (;;) {
            const ssize_t got = ::recv(pair.theirs.get(), buffer, sizeof buffer, 0);
            if (got <= 0) return std::exchange(text, {});
            text.append(buffer, static_cast<std::size_t>(got));
        }
    }
    /// The whole request body; empty optional while it is not complete.
    std::string take_body() {
        std::string all;
        for (;;) {
            const auto body = codec.body();
            EXPECT_EQ(body.fault, Fault::none);
            all += body.bytes;
            if (body.bytes.empty()) return all + (body.complete ? "" : "...");
            codec.consume_body(body.bytes.size());
        }
    }

    conf::Limits limits;
    loop::Loop loop;
    Count notified;
    test::TcpPair pair;
    wire::Stream stream;
    Http1Codec codec{stream, true};
    std::string text;
};

inline const std::string host = "Host: a.test\r\n";
inline std::string get(const std::string& target, const std::string& fields = host) {
    return "GET " + target + " HTTP/1.1\r\n" + fields + "\r\n";
}
inline std::string post(const std::string& fields) { return "POST / HTTP/1.1\r\n" + host + fields + "\r\n"; }

}  // namespace nearhop::client
