#include "proxy/exchange/answer.h"
#include "proxy/exchange/download.h"
#include "proxy/exchange/upload.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace nearhop::exchange {
namespace {

using namespace std::chrono_literals;
using loop::Io;
using loop::TimePoint;

constexpr TimePoint now = TimePoint{} + 1h;

/// A client whose body comes in pieces, and that takes so much of an answer.
struct Client final : Codec {
    Body body() override {
        ++asked;
        if (!pieces.empty()) return {pieces.front(), false, Fault::none};
        return {{}, ended && fault == Fault::none, fault};
    }
    void consume_body(std::size_t bytes) override {
        pieces.front().erase(0, bytes);
        if (pieces.front().empty()) pieces.pop_front();
    }
    std::string_view request_trailers() const override { return trailers; }
    void interim(unsigned, std::span<const wire::Field>) override {}
    void start(const ResponseStart& start) override { announced = start.framing.length; }
    std::size_t write(std::string_view bytes) override {
        const std::size_t taken = std::min(bytes.size(), takes);
        answer += bytes.substr(0, taken);
        takes -= taken;
        return taken;
    }
    void finish(std::string_view) override { finished = true; }
    void abort() override {}
    bool take_back() noexcept override { return true; }
    void start_tunnel(const ResponseStart&, std::string_view) override {}
    Io flush() override { return Io::ok; }
    std::size_t unsent() const override { return queued; }
    bool is_delivered() const noexcept override { return true; }
    bool gone() override { return false; }
    ReaderPace::Taken taken() const noexcept override { return {}; }

    std::deque<std::string> pieces;
    bool ended = true, finished = false;
    Fault fault = Fault::none;
    std::string trailers, answer;
    std::size_t takes = 1000, queued = 0;
    unsigned asked = 0;
    std::uint64_t announced = 0;
};

/// A channel that takes so much before it must be flushed, and sends so much with a flush.
struct Channel final : origin::Channel {
    void send_head(const message::RequestStart&) override {}
    std::size_t send_body(std::string_view bytes) override {
        const std::size_t taken = std::min(bytes.size(), room - queued.size());
        queued += bytes.substr(0, taken);
        return taken;
    }
    void end_body(std::string_view lines) override {
        ended = true;
        trailer_lines = lines;
    }
    Io flush() override {
        if (broken) return Io::failed;
        const std::size_t goes = std::min(queued.size(), sends);
        wire += queued.substr(0, goes);
        queued.erase(0, goes);
        sends -= goes;
        return queued.empty() ? Io::ok : Io::blocked;
    }
    bool is_full() const noexcept override { return queued.size() >= room; }
    bool is_sent() const noexcept override { return queued.empty(); }
    std::uint64_t sent() const noexcept override { return wire.size(); }
    Progress receive_head() override { return Progress::pending; }
    void begin_tunnel() noexcept override {}
    bool is_delivered() const noexcept override { return true; }
    void quiet() noexcept override {}
    const std::string& address() const noexcept override { return wire; }
    Delivery delivery() const noexcept override { return Delivery::under_way; }
    void ask_path() noexcept override {}
    void finish(bool) override {}
    void cancel() noexcept override {}
    void reset() noexcept override {}
    Body body(std::string_view&) override { return Body::pending; }
    void consume_body(std::size_t) noexcept override {}
    bool body_read() const noexcept override { return false; }

    std::string queued, wire, trailer_lines;
    std::size_t room = 8, sends = 1000;
    bool ended = false, broken = false;
};

struct UploadTest : testing::Test {
    UploadTest() {
        request.framing = {wire::Framing::Kind::chunked, 0};
        replay.begin(request.framing, 1000, 1000);
    }
    Fault move(std::uint64_t limit = 0) {
        return upload.move(client, channel, {&request, {}, &replay, limit, read}, now);
    }

    Client client;
    Channel channel;
    message::Request request;
    std::uint64_t held = 0, read = 0;
    account::Counter gauge;
    Replay replay{held, gauge};
    Upload upload;
};

TEST_F(UploadTest, WithoutABodyTheRequestIsWholeAtOnceAndTheClientIsNotAsked) {
    request.framing = {};
    EXPECT_EQ(move(), Fault::none);
    EXPECT_TRUE(upload.complete());
    EXPECT_TRUE(channel.ended);
    EXPECT_EQ(channel.sent_at, now);
    EXPECT_EQ(client.asked, 0U) << "what follows the head may belong to another protocol";
}

TEST_F(UploadTest, GoesOnWhileTheOriginTakesMoreThanFitsAtOnce) {
    client.pieces = {"twenty bytes, and the", "rest"};
    client.trailers = "X-Sum: 1\r\n";
    EXPECT_EQ(move(), Fault::none);
    EXPECT_EQ(channel.wire, "twenty bytes, and therest");
    EXPECT_EQ(channel.trailer_lines, "X-Sum: 1\r\n");
    EXPECT_TRUE(upload.complete());
    EXPECT_EQ(read, 25U);
    EXPECT_EQ(replay.bytes(), channel.wire);
}

TEST_F(UploadTest, ReadsNoMoreThanASlowOriginTakes) {
    client.pieces = {"twenty bytes, and the rest"};
    channel.sends = 3;
    EXPECT_EQ(move(), Fault::none);
    EXPECT_EQ(read, 8U);
    EXPECT_FALSE(upload.complete());
    EXPECT_FALSE(upload.waits_for_client(channel)) << "it is the origin that is awaited";
    EXPECT_EQ(channel.sent_at, TimePoint{});
    channel.sends = 1000;
    EXPECT_EQ(move(), Fault::none);
    EXPECT_TRUE(upload.complete());
}

TEST_F(UploadTest, WaitsForAClientThatHasNothingNow) {
    client.ended = false;
    EXPECT_EQ(move(), Fault::none);
    EXPECT_TRUE(upload.waits_for_client(channel));
    EXPECT_EQ(channel.sent_at, now) << "all that there was of it";
    client.pieces = {"a"};
    channel.sends = 0;
    EXPECT_EQ(move(), Fault::none);
    EXPECT_FALSE(upload.waits_for_client(channel)) << "not while something waits to be sent";
}

TEST_F(UploadTest, AnotherAttemptSendsWhatTheFirstHadAndThenTheRest) {
    client.pieces = {"first "};
    client.ended = false;
    EXPECT_EQ(move(), Fault::none);
    Upload second;
    Channel elsewhere;
    client.pieces = {"second"};
    client.ended = true;
    EXPECT_EQ(second.move(client, elsewhere, {&request, {}, &replay, 0, read}, now), Fault::none);
    EXPECT_EQ(elsewhere.wire, "first second");
    EXPECT_EQ(read, 12U) << "counted once";
    EXPECT_TRUE(second.complete());
}

TEST_F(UploadTest, TellsWhatTheClientDoesWrong) {
    client.pieces = {"12345", "67890"};
    EXPECT_EQ(move(9), Fault::client_body_too_large);
    EXPECT_EQ(read, 5U);
    client.pieces.clear();
    client.trailers = "no trailer\r\n";
    EXPECT_EQ(move(9), Fault::client_bad_framing);
    client.fault = Fault::client_gone;
    EXPECT_EQ(move(9), Fault::client_gone);
    EXPECT_FALSE(upload.complete());
}

TEST_F(UploadTest, ABrokenOriginIsNoFaultYetAndTakesNothingMore) {
    client.pieces = {"1"};
    channel.broken = true;
    EXPECT_EQ(move(), Fault::none) << "an answer may still be there to read";
    EXPECT_TRUE(upload.broken());
    const unsigned asked = client.asked;
    EXPECT_EQ(move(), Fault::none);
    EXPECT_EQ(client.asked, asked);
}

TEST_F(UploadTest, ATunnelsBytesAreNeitherRememberedNorLimited) {
    client.pieces = {"raw"};
    client.ended = false;
    EXPECT_EQ(upload.move(client, channel, {.read = read}, now), Fault::none);
    EXPECT_EQ(channel.wire, "raw");
    EXPECT_FALSE(upload.complete());
    client.ended = true;
    EXPECT_EQ(upload.move(client, channel, {.read = read}, now), Fault::none);
    EXPECT_TRUE(upload.complete());
    EXPECT_TRUE(channel.ended);
    EXPECT_EQ(replay.bytes(), "");
}

struct DownloadTest : testing::Test {
    DownloadTest() { answer.body = "an answer"; }
    Answer answer;
    Client client;
    std::uint64_t bytes = 0;
};

TEST_F(DownloadTest, AnOwnAnswerIsASourceLikeAnother) {
    OwnAnswer source{answer};
    EXPECT_EQ(source.head().status, 200U);
    EXPECT_EQ(source.framing().length, 9U);
    Download download{source, client, bytes};
    EXPECT_EQ(download.move(), Download::State::complete);
    EXPECT_EQ(client.answer, "an answer");
    EXPECT_EQ(bytes, 9U);
}

TEST_F(DownloadTest, AClientThatTakesNothingMoreBlocksItAndItGoesOnWhereItWas) {
    OwnAnswer source{answer};
    Download download{source, client, bytes};
    client.takes = 3;
    EXPECT_EQ(download.move(), Download::State::blocked);
    EXPECT_EQ(bytes, 3U);
    client.takes = 100;
    EXPECT_EQ(download.move(), Download::State::complete);
    EXPECT_EQ(client.answer, "an answer");
}

TEST_F(DownloadTest, NothingMoreIsReadWhileMuchIsQueued) {
    OwnAnswer source{answer};
    Download download{source, client, bytes};
    client.queued = wire::Stream::high_water;
    EXPECT_EQ(download.move(), Download::State::open);
    EXPECT_EQ(client.answer, "");
    answer.body.clear();
    OwnAnswer empty{answer};
    EXPECT_EQ((Download{empty, client, bytes}.move()), Download::State::complete) << "its end needs no room";
}

TEST_F(DownloadTest, WhatASourceSaysOfItselfIsTold) {
    Channel source;
    EXPECT_EQ((Download{source, client, bytes}.move()), Download::State::open);
    struct Broken final : message::Source {
        Broken() { fault_ = Fault::origin_truncated; }
        Body body(std::string_view&) override { return Body::failed; }
        void consume_body(std::size_t) noexcept override {}
        bool body_read() const noexcept override { return false; }
    } broken;
    EXPECT_EQ((Download{broken, client, bytes}.move()), Download::State::failed);
}

TEST_F(DownloadTest, TheClientIsTooSlowOnlyWhileItIsAwaited) {
    OwnAnswer source{answer};
    Download download{source, client, bytes};
    client.reader().begin(0, 10s, 100);
    EXPECT_FALSE(download.is_too_slow(now, false));
    EXPECT_FALSE(download.is_too_slow(now + 1h, true));
    EXPECT_EQ(download.due(), now + 1h + 10s);
    EXPECT_FALSE(download.is_too_slow(now + 1h + 9s, true));
    EXPECT_TRUE(download.is_too_slow(now + 1h + 10s, true));
}

TEST_F(DownloadTest, SendGivesAWholeAnswer) {
    answer.status = 404;
    send(client, answer, false, "Date: today\r\n");
    EXPECT_EQ(client.answer, "an answer");
    EXPECT_EQ(client.announced, 9U);
    EXPECT_TRUE(client.finished);
    Client head;
    send(head, answer, true, {});
    EXPECT_EQ(head.answer, "");
    EXPECT_EQ(head.announced, 9U);
    EXPECT_TRUE(head.finished);
}

}  // namespace
}  // namespace nearhop::exchange
