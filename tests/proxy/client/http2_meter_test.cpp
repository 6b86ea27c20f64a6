#include "proxy/client/http2_meter.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

namespace nearhop::client {
namespace {

using account::Http2End;
using std::chrono::milliseconds;

constexpr loop::TimePoint start{std::chrono::hours{1}};

/// Takes until the bucket is empty.
int taken(TokenBucket& bucket, loop::TimePoint now, int most = 1000) {
    int count = 0;
    while (count < most && bucket.take(now)) ++count;
    return count;
}

TEST(TokenBucket, HoldsItsCountAndFillsAtItsRate) {
    TokenBucket bucket{10, 4, start};
    EXPECT_EQ(taken(bucket, start), 10);
    EXPECT_EQ(taken(bucket, start + milliseconds{249}), 0);
    EXPECT_EQ(taken(bucket, start + milliseconds{250}), 1);
    EXPECT_EQ(taken(bucket, start + milliseconds{1250}), 4);
    EXPECT_EQ(taken(bucket, start + std::chrono::hours{500}), 10) << "never more than its count";
}

TEST(TokenBucket, FractionsAreNotLostBetweenTwoLooks) {
    TokenBucket bucket{10, 4, start};
    taken(bucket, start);
    int count = 0;
    for (int step = 1; step <= 1000; ++step)
        if (bucket.take(start + milliseconds{step})) ++count;
    EXPECT_EQ(count, 4);
}

TEST(TokenBucket, CountsAcrossTheEndOfItsShortClock) {
    const loop::TimePoint late{std::chrono::milliseconds{0xFFFF'FF00}};
    TokenBucket bucket{10, 4, late};
    EXPECT_EQ(taken(bucket, late), 10);
    EXPECT_EQ(taken(bucket, late + milliseconds{1000}), 4);
    EXPECT_EQ(taken(bucket, late + milliseconds{900}), 0) << "and not backwards";
}

TEST(TokenBucket, ARateOfZeroNeverFills) {
    TokenBucket bucket{3, 0, start};
    EXPECT_EQ(taken(bucket, start + std::chrono::hours{100}), 3);
    EXPECT_FALSE(bucket.take(start + std::chrono::hours{200}));
    bucket.give(2);
    EXPECT_EQ(taken(bucket, start + std::chrono::hours{200}), 2);
}

struct Http2MeterTest : testing::Test {
    conf::Http2 limits = [] {
        conf::Http2 small;
        small.resets = 5;
        small.control_frames = 20;
        small.empty_frames = 3;
        small.reset_rate = small.control_rate = small.empty_rate = 0;
        return small;
    }();
    Http2Meter meter{limits, start};

    /// How many such frames pass before the session has to end, and with which reason.
    std::pair<int, Http2End> allowed(std::uint8_t type, std::uint8_t flags, std::size_t length) {
        for (int count = 0; count < 1000; ++count)
            if (const auto verdict = meter.frame(type, flags, length, start); verdict != Http2End::open)
                return {count, verdict};
        return {1000, Http2End::open};
    }
};

TEST_F(Http2MeterTest, EachKindOfFrameHasItsBudget) {
    EXPECT_EQ(allowed(NGHTTP2_RST_STREAM, 0, 4), std::pair(5, Http2End::rapid_reset));
    EXPECT_EQ(allowed(NGHTTP2_DATA, 0, 0), std::pair(3, Http2End::empty_frames));
    EXPECT_EQ(allowed(NGHTTP2_PING, 0, 8), std::pair(20, Http2End::control_flood));
}

TEST_F(Http2MeterTest, AResetOfAStreamThatIsGoneIsNoFurtherOne) {
    for (int i = 0; i < 100; ++i) meter.sent_data(16'384, false);
    for (int i = 0; i < 3200; ++i) ASSERT_EQ(meter.late_reset(start), Http2End::open) << "one for each frame, and more";
    for (int i = 0; i < 20; ++i) ASSERT_EQ(meter.late_reset(start), Http2End::open);
    EXPECT_EQ(meter.late_reset(start), Http2End::control_flood);
    EXPECT_EQ(allowed(NGHTTP2_RST_STREAM, 0, 4), std::pair(5, Http2End::rapid_reset)) << "none of them was taken";
}

TEST_F(Http2MeterTest, FramesThatCarryOrEndSomethingCostNothing) {
    EXPECT_EQ(allowed(NGHTTP2_DATA, 0, 1).second, Http2End::open);
    EXPECT_EQ(allowed(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 0).second, Http2End::open);
    EXPECT_EQ(allowed(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 10).second, Http2End::open);
}

TEST_F(Http2MeterTest, OurOwnResetsHaveABudgetOfTheirOwn) {
    for (int i = 0; i < 5; ++i) EXPECT_EQ(meter.frame(NGHTTP2_RST_STREAM, 0, 4, start), Http2End::open);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(meter.edge_reset(start), Http2End::open);
    EXPECT_EQ(meter.edge_reset(start), Http2End::made_reset);
}

TEST_F(Http2MeterTest, RequestsAndBodiesThatMovePayForControlFrames) {
    for (int i = 0; i < 1000; ++i) {
        meter.sent_data(16'384, false);
        ASSERT_EQ(meter.frame(NGHTTP2_WINDOW_UPDATE, 0, 4, start), Http2End::open);
        ASSERT_EQ(meter.frame(NGHTTP2_WINDOW_UPDATE, 0, 4, start), Http2End::open);
    }
    for (int i = 0; i < 1000; ++i) {
        meter.request();
        ASSERT_EQ(meter.frame(NGHTTP2_PRIORITY, 0, 5, start), Http2End::open);
    }
}

TEST_F(Http2MeterTest, WindowsMayBeGivenBackForEachKibibyteHoweverLate) {
    for (int i = 0; i < 1000; ++i) meter.sent_data(16'384, false);
    for (int i = 0; i < 32'000; ++i) ASSERT_EQ(meter.frame(NGHTTP2_WINDOW_UPDATE, 0, 4, start), Http2End::open) << i;
    EXPECT_EQ(allowed(NGHTTP2_WINDOW_UPDATE, 0, 4), std::pair(20, Http2End::control_flood));
}

TEST_F(Http2MeterTest, SmallFramesThatHoldAllThereIsPayForTheirUpdates) {
    for (int i = 0; i < 1000; ++i) {
        meter.sent_data(100, true);
        ASSERT_EQ(meter.frame(NGHTTP2_WINDOW_UPDATE, 0, 4, start), Http2End::open);
        ASSERT_EQ(meter.frame(NGHTTP2_WINDOW_UPDATE, 0, 4, start), Http2End::open);
    }
}

TEST_F(Http2MeterTest, BytesThatWereSentPayForNoOtherFrames) {
    for (int i = 0; i < 1000; ++i) meter.sent_data(16'384, false);
    EXPECT_EQ(allowed(NGHTTP2_PING, 0, 8), std::pair(20, Http2End::control_flood));
}

TEST_F(Http2MeterTest, ADribblePaysForNothing) {
    int count = 0;
    while (count < 1000 && meter.frame(NGHTTP2_WINDOW_UPDATE, 0, 4, start) == Http2End::open) {
        meter.sent_data(1, false);
        ++count;
    }
    EXPECT_EQ(count, 20);
}

}  // namespace
}  // namespace nearhop::client
