#include "proxy/wire/message_writer.h"
#include "tests/proxy/wire/stream_support.h"

#include <stdexcept>
#include <string>

namespace nearhop::wire {
namespace {

struct Echo : StreamTest, testing::WithParamInterface<std::tuple<bool, std::size_t>> {};
TEST_P(Echo, BringsEveryByteBackInOrder) {
    const auto [tls, size] = GetParam();
    const Identity identity;
    if (tls) start_tls(identity);
    const std::string sent = some(size);
    std::string got;
    const auto conversation = [](End& end, bool with_tls, const std::string& bytes, std::string& into) -> Task<void> {
        if (with_tls && co_await handshake(end) != Io::ok) throw std::runtime_error{"client handshake"};
        // In halves, so that neither side's buffers have to hold everything.
        for (std::size_t at = 0; at < bytes.size(); at += 30'000) {
            const auto part = std::string_view{bytes}.substr(at, 30'000);
            co_await send(end, part);
            into += co_await receive(end, part.size());
        }
    };
    const auto one = conversation(client, tls, sent, got);
    const auto two = echo(server, tls, size);
    run({&one, &two});
    EXPECT_TRUE(got == sent);
    EXPECT_GE(client.stream.sent, size);
    EXPECT_GE(client.stream.received, size);
}
INSTANTIATE_TEST_SUITE_P(Sizes, Echo,
                         testing::Combine(testing::Bool(), testing::Values(1UL, 2UL, 1000UL, 16'384UL, 16'385UL,
                                                                           100'001UL, 1'048'576UL)));

TEST_F(StreamTest, BulkOneWayArrivesWhole) {
    const Identity identity;
    start_tls(identity);
    const std::string sent = some(3'000'000);
    std::string got;
    const auto writing = [](End& end, const std::string& bytes) -> Task<void> {
        co_await handshake(end);
        co_await send(end, bytes);
        end.stream.close_notify();
        co_await flush(end);
    };
    const auto reading = [](End& end, std::string& into) -> Task<void> {
        co_await handshake(end);
        into = co_await receive(end, static_cast<std::size_t>(-1));
    };
    const auto one = writing(server, sent);
    const auto two = reading(client, got);
    run({&one, &two});
    EXPECT_TRUE(got == sent);
}

TEST_F(StreamTest, AnEndWithoutCloseNotifyReadsAsClosedBehindTheLastByte) {
    const Identity identity;
    start_tls(identity);
    const auto cutting = [](End& end) -> Task<void> {
        co_await handshake(end);
        co_await send(end, "cut");
        end.stream.socket().shutdown_write();
    };
    std::string got;
    const auto reading = [](End& end, std::string& into) -> Task<void> {
        co_await handshake(end);
        into = co_await receive(end, 100);
    };
    const auto one = cutting(server);
    const auto two = reading(client, got);
    run({&one, &two});
    EXPECT_EQ(got, "cut");
}

TEST_F(StreamTest, BytesReceivedBeforeTlsAreItsFirstCiphertext) {
    const Identity identity;
    accepting = server_context(identity);
    connecting = client_context(&identity);
    client.stream.start_tls_client(connecting.get(), "origin.test", false, nullptr);
    const auto prefixed = [](End& end, ssl_ctx_st* context) -> Task<void> {
        // As behind a PROXY header: some ciphertext is in the plain buffer already.
        while (end.stream.in().empty()) {
            if (end.stream.fill(100) == Io::blocked) co_await end.wake.wait();
        }
        end.stream.start_tls_server(context);
        if (co_await handshake(end) != Io::ok) throw std::runtime_error{"handshake"};
    };
    Io result = Io::failed;
    const auto one = shake(client, result);
    const auto two = prefixed(server, accepting.get());
    run({&one, &two});
    EXPECT_EQ(result, Io::ok);
}

TEST_F(StreamTest, FillNeverGoesAboveItsLimit) {
    const Identity identity;
    start_tls(identity);
    const auto careful = [](End& end, std::size_t wanted) -> Task<void> {
        co_await handshake(end);
        std::size_t got = 0;
        while (got < wanted) {
            const Io now = end.stream.fill(1000);
            if (end.stream.in().size() > 1000) throw std::runtime_error{"above the limit"};
            got += end.stream.in().size();
            end.stream.in().clear();
            if (now == Io::blocked) co_await end.wake.wait();
        }
    };
    const std::string bytes = some(200'000);
    const auto writing = [](End& end, const std::string& all) -> Task<void> {
        co_await handshake(end);
        co_await send(end, all);
    };
    const auto one = careful(client, bytes.size());
    const auto two = writing(server, bytes);
    run({&one, &two});
}

TEST_F(StreamTest, HeadAndFirstBytesLeaveInOneTlsRecord) {
    const Identity identity;
    start_tls(identity);
    const auto answering = [](End& end, std::size_t& records) -> Task<void> {
        co_await handshake(end);
        co_await flush(end);
        MessageWriter writer;
        writer.staging().append("HTTP/1.1 200 OK\r\n\r\n");
        const auto before = end.stream.unsent();
        writer.write(end.stream, "small", false);
        if (before != 0 || end.stream.unsent() != 0) throw std::runtime_error{"sent too early"};
        const auto sent = end.stream.sent;
        writer.flush(end.stream);
        records = static_cast<std::size_t>(end.stream.sent - sent);
    };
    std::size_t bytes = 0;
    std::string got;
    const auto reading = [](End& end, std::string& into) -> Task<void> {
        co_await handshake(end);
        into = co_await receive(end, 24);
    };
    const auto one = answering(server, bytes);
    const auto two = reading(client, got);
    run({&one, &two});
    EXPECT_EQ(got, "HTTP/1.1 200 OK\r\n\r\nsmall");
    EXPECT_EQ(bytes, 24U + 22U) << "one record's frame";
}

struct Writes : StreamTest, testing::WithParamInterface<std::tuple<bool, bool, std::size_t>> {};
TEST_P(Writes, ArriveInOrderWhateverTheirSizes) {
    const auto [tls, chunked, size] = GetParam();
    const Identity identity;
    if (tls) start_tls(identity);
    const auto writing = [](End& end, bool with_tls, bool in_chunks, const std::string& all) -> Task<void> {
        if (with_tls) co_await handshake(end);
        MessageWriter writer;
        writer.staging().append("HEAD|");
        std::string_view left = all;
        std::size_t piece = 7;
        while (!left.empty()) {
            const auto taken = writer.write(end.stream, left.substr(0, piece), in_chunks);
            left.remove_prefix(taken);
            piece = piece * 5 % 70'001 + 1;
            if (taken != 0 && piece % 3 != 0) continue;
            const bool full = writer.queued(end.stream) >= Stream::high_water;
            const Io done = writer.flush(end.stream);
            if (done == Io::failed) throw std::runtime_error{"flush failed"};
            if (done == Io::blocked || (taken == 0 && !full)) co_await end.wake.wait();
        }
        writer.finish(in_chunks, {});
        if (!in_chunks) writer.staging().append("|END");
        while (writer.flush(end.stream) == Io::blocked) co_await end.wake.wait();
        end.stream.socket().shutdown_write();
    };
    const auto reading = [](End& end, bool with_tls, std::string& into) -> Task<void> {
        if (with_tls) co_await handshake(end);
        into = co_await receive(end, static_cast<std::size_t>(-1), 20'000);
    };
    const std::string body = some(size);
    std::string got;
    const auto one = writing(server, tls, chunked, body);
    const auto two = reading(client, tls, got);
    run({&one, &two});
    ASSERT_EQ(got.substr(0, 5), "HEAD|");
    got.erase(0, 5);
    if (!chunked) {
        EXPECT_TRUE(got == body + "|END");
        return;
    }
    std::string decoded;
    while (!got.empty()) {
        const auto line = got.find("\r\n");
        ASSERT_NE(line, std::string::npos);
        const auto bytes = std::stoull(got.substr(0, line), nullptr, 16);
        decoded += got.substr(line + 2, bytes);
        ASSERT_EQ(got.substr(line + 2 + bytes, 2), "\r\n");
        got.erase(0, line + 4 + bytes);
        if (bytes == 0) break;
    }
    EXPECT_TRUE(decoded == body);
    EXPECT_TRUE(got.empty());
}
INSTANTIATE_TEST_SUITE_P(Table, Writes,
                         testing::Combine(testing::Bool(), testing::Bool(),
                                          testing::Values(1UL, 16'384UL, 2'000'000UL)));

}  // namespace
}  // namespace nearhop::wire
