#include "proxy/origin/http1_channel.h"

#include "proxy/origin/pool.h"
#include "tests/proxy/loop/support.h"

#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <sys/epoll.h>

namespace nearhop::origin {
namespace {

using account::Fault;
using loop::Io;
using Body = Channel::Body;
using Progress = Channel::Progress;

/// A channel over one end of a loopback connection; the test is the origin at the other.
struct ChannelTest : testing::Test {
    ChannelTest() {
        pool.set_limits(limits);
        site.host_header = "client";
        origin.host_field = "origin.test";
        request.method = "GET";
        request.target = "/";
        request.authority = request.host = "a.test";
    }
    void connect(unsigned requests = 1) {
        test::TcpPair pair;
        auto connection = std::make_unique<Connection>(pool);
        counters->active.add();
        connection->address = "192.0.2.1:443";
        connection->created = loop.now();
        connection->requests = requests;
        connection->stream.socket().open(loop, pair.ours.release(), notified, false);
        socket = &connection->stream.socket();
        theirs = std::move(pair.theirs);
        channel.open(std::move(connection), limits);
    }
    /// A whole request without a body.
    void ask() {
        channel.send_head({request, forwarding, site, origin});
        channel.end_body({});
        ASSERT_EQ(channel.flush(), Io::ok);
        channel.sent_at = loop.now();
    }
    void answer(std::string_view bytes) {
        test::send_all(theirs.get(), bytes);
        socket->on_events(EPOLLIN);
    }
    void end() {
        ::shutdown(theirs.get(), SHUT_WR);
        socket->on_events(EPOLLIN | EPOLLRDHUP);
    }
    std::string body(Body& how) {
        std::string all;
        std::string_view bytes;
        while ((how = channel.body(bytes)) == Body::data) {
            all += bytes.substr(0, 3);  // a little at a time
            channel.consume_body(std::min<std::size_t>(3, bytes.size()));
        }
        return all;
    }
    /// What the origin got.
    std::string got() {
        char buffer[4096];
        const ssize_t size = ::recv(theirs.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        return {buffer, static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
    }
    bool is_kept() const { return counters->idle.get() == 1; }

    struct Notified final : loop::Notify {
        void notify() noexcept override {}
    } notified;
    conf::Limits limits;
    loop::Loop loop;
    account::WorkerCounters worker;
    std::shared_ptr<account::PoolCounters> counters = std::make_shared<account::PoolCounters>();
    Pool pool{loop, counters};
    test::Descriptor theirs;
    loop::Socket* socket = nullptr;
    message::Request request;
    message::Forwarding forwarding;
    steering::SiteTable site;
    shared::OriginInfo origin;
    Http1Channel channel{loop, worker};
};

struct AnswerRow {
    std::string_view name, bytes, body;
    bool ends;  ///< the origin ends the connection behind it
    Body how;
    bool kept;
};
std::ostream& operator<<(std::ostream& out, const AnswerRow& row) { return out << row.name; }
struct Answers : ChannelTest, testing::WithParamInterface<AnswerRow> {};

TEST_P(Answers, AreReadToTheirEndAndTheConnectionIsKeptWhereThatIsSafe) {
    const AnswerRow& row = GetParam();
    connect();
    ask();
    EXPECT_EQ(channel.receive_head(), Progress::pending);
    EXPECT_FALSE(channel.answered_anything());
    answer(row.bytes);
    if (row.ends) end();
    ASSERT_EQ(channel.receive_head(), Progress::head);
    Body how{};
    EXPECT_EQ(body(how), row.body);
    EXPECT_EQ(how, row.how);
    EXPECT_EQ(channel.fault(), how == Body::failed ? Fault::origin_truncated : Fault::none);
    channel.finish(true);
    EXPECT_EQ(is_kept(), row.kept);
}

INSTANTIATE_TEST_SUITE_P(
    Rows, Answers,
    testing::Values(
        AnswerRow{"Length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", false, Body::complete, true},
        AnswerRow{"NoContent", "HTTP/1.1 204 No Content\r\n\r\n", "", false, Body::complete, true},
        AnswerRow{"Chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
                  "hello!", false, Body::complete, true},
        AnswerRow{"UntilClose", "HTTP/1.1 200 OK\r\n\r\nhello", "hello", true, Body::complete, false},
        AnswerRow{"SaysClose", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "ok", false,
                  Body::complete, false},
        AnswerRow{"BytesBehind", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok?", "ok", false, Body::complete, false},
        AnswerRow{"NotWholeYet", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "hello", false, Body::pending,
                  false},
        AnswerRow{"CutLength", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "hello", true, Body::failed, false},
        AnswerRow{"CutChunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello", true,
                  Body::failed, false}),
    [](const auto& row) { return std::string{row.param.name}; });

struct EndRow {
    std::string_view name, bytes;
    unsigned requests;
    loop::milliseconds age;
    Fault fault;
};
std::ostream& operator<<(std::ostream& out, const EndRow& row) { return out << row.name; }
struct Ends : ChannelTest, testing::WithParamInterface<EndRow> {};

TEST_P(Ends, TellWhatTheOriginMayHaveHad) {
    const EndRow& row = GetParam();
    connect(row.requests);
    ask();
    channel.sent_at = loop.now() - row.age;
    if (!row.bytes.empty()) answer(row.bytes);
    end();
    EXPECT_EQ(channel.receive_head(), Progress::failed);
    EXPECT_EQ(account::info(channel.fault()).code, account::info(row.fault).code);
    EXPECT_FALSE(account::info(channel.fault()).nothing_sent) << "none of these is proof that it had nothing";
    channel.finish(true);
    EXPECT_FALSE(is_kept());
}

using loop::milliseconds;
INSTANTIATE_TEST_SUITE_P(
    Rows, Ends,
    testing::Values(EndRow{"FreshConnection", "", 1, milliseconds{0}, Fault::origin_reset},
                    EndRow{"KeptAliveAtOnce", "", 2, milliseconds{0}, Fault::origin_stale},
                    EndRow{"KeptAliveLater", "", 2, milliseconds{600}, Fault::origin_reset},
                    EndRow{"InTheHead", "HTTP/1.1 200 OK\r\n", 2, milliseconds{0}, Fault::origin_bad_response},
                    EndRow{"NotHttp", "SSH-2.0-x\r\n\r\n", 1, milliseconds{0}, Fault::origin_bad_response},
                    EndRow{"UnaskedSwitch", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 1,
                           milliseconds{0}, Fault::origin_bad_response}),
    [](const auto& row) { return std::string{row.param.name}; });

TEST_F(ChannelTest, AHeadAndABodyLeaveTogetherAndAChunkedOneIsFramed) {
    connect();
    request.method = "POST";
    request.framing = {wire::Framing::Kind::chunked, 0};
    channel.send_head({request, forwarding, site, origin});
    EXPECT_EQ(channel.send_body("hello"), 5U);
    EXPECT_FALSE(channel.is_sent());
    EXPECT_EQ(got(), "");
    channel.end_body("X-Sum: 1\r\n");
    EXPECT_EQ(channel.flush(), Io::ok);
    EXPECT_TRUE(channel.is_sent());
    const std::string all = got();
    EXPECT_EQ(channel.sent(), all.size());
    EXPECT_TRUE(all.starts_with("POST / HTTP/1.1\r\n"));
    EXPECT_TRUE(all.ends_with("\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")) << all;
}

TEST_F(ChannelTest, InterimAnswersComeFirst) {
    connect();
    ask();
    answer("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(channel.receive_head(), Progress::interim);
    EXPECT_EQ(channel.head().status, 103U);
    EXPECT_EQ(channel.receive_head(), Progress::head);
    EXPECT_EQ(channel.head().status, 200U);
}

TEST_F(ChannelTest, AnAnswerBeforeTheRequestIsWholeLeavesNoUsableConnection) {
    connect();
    request.method = "POST";
    request.framing = {wire::Framing::Kind::length, 10};
    channel.send_head({request, forwarding, site, origin});
    EXPECT_EQ(channel.send_body("half"), 4U);
    EXPECT_EQ(channel.flush(), Io::ok);
    answer("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(channel.receive_head(), Progress::head);
    Body how{};
    body(how);
    channel.finish(true);
    EXPECT_FALSE(is_kept());
}

TEST_F(ChannelTest, WhatIsNotCleanIsNotKept) {
    connect();
    ask();
    answer("HTTP/1.1 204 No Content\r\n\r\n");
    EXPECT_EQ(channel.receive_head(), Progress::head);
    Body how{};
    body(how);
    channel.finish(false);
    EXPECT_FALSE(is_kept());
}

struct TunnelTest : ChannelTest {
    TunnelTest() {
        forwarding.upgrade = "echo";
        connect();
        ask();
        got();
        answer("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst");
        EXPECT_EQ(channel.receive_head(), Progress::head);
        channel.begin_tunnel();
    }
    ssize_t origin_sees() {
        char byte = 0;
        return ::recv(theirs.get(), &byte, 1, MSG_DONTWAIT);
    }
};

TEST_F(TunnelTest, CarriesRawBytesAndEachDirectionEndsForItself) {
    Body how{};
    EXPECT_EQ(body(how), "first");
    EXPECT_EQ(how, Body::pending);
    EXPECT_EQ(channel.send_body("raw"), 3U);
    EXPECT_EQ(channel.flush(), Io::ok);
    EXPECT_EQ(got(), "raw");
    channel.end_body({});
    EXPECT_EQ(channel.flush(), Io::ok);
    EXPECT_EQ(origin_sees(), 0) << "an orderly end";
    answer("last");
    end();
    EXPECT_EQ(body(how), "last");
    EXPECT_EQ(how, Body::complete);
    channel.finish(true);
    EXPECT_FALSE(is_kept());
}

TEST_F(TunnelTest, WhatIsCancelledIsSeenToBe) {
    channel.cancel();
    EXPECT_EQ(origin_sees(), -1);
    EXPECT_EQ(errno, ECONNRESET);
}

}  // namespace
}  // namespace nearhop::origin
