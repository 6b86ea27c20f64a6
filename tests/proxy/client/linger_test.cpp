#include "proxy/client/linger.h"

#include <gtest/gtest.h>

namespace nearhop::client {
namespace {

using namespace std::chrono_literals;
using loop::TimePoint;

conf::Limits limits() {
    conf::Limits made;
    made.drain_bytes = 1000;
    made.drain_time = 30s;
    made.drain_silence = 5s;
    return made;
}

/// Seconds until it is over for a client that sends `bytes` each second up to `silent_from`.
int over_after(const conf::Limits& limits, bool client_sends, std::size_t bytes, int silent_from) {
    TimePoint now{};
    Linger linger{limits, client_sends, now};
    for (int second = 1; second < 1000; ++second) {
        now += 1s;
        if (linger.is_over(second < silent_from ? bytes : 0, now)) return second;
        EXPECT_GT(linger.due(), now);
    }
    return 0;
}

TEST(Linger, LastsAsLongAsTheClientSendsAndTheLimitsAllow) {
    EXPECT_EQ(over_after(limits(), true, 1, 1000), 30) << "in all";
    EXPECT_EQ(over_after(limits(), true, 1, 11), 15) << "five seconds of silence";
    EXPECT_EQ(over_after(limits(), true, 100, 1000), 11) << "a thousand bytes";
    EXPECT_EQ(over_after(limits(), true, 0, 0), 5);
}

TEST(Linger, BehindAWholeRequestIsAMomentForTheClientToClose) {
    EXPECT_EQ(over_after(limits(), false, 1, 1000), 1);
    auto brief = limits();
    brief.drain_time = 0s;
    EXPECT_EQ(over_after(brief, true, 1, 1000), 1) << "no time at all";
}

TEST(Linger, OthersHaveTheirTurnAfterHalfAMegabyte) {
    auto large = limits();
    large.drain_bytes = std::uint64_t{1} << 30;
    Linger linger{large, true, {}};
    for (int i = 0; i < 7; ++i) {
        EXPECT_FALSE(linger.is_over(64 * 1024, {}));
        EXPECT_FALSE(linger.has_had_its_turn());
    }
    EXPECT_FALSE(linger.is_over(64 * 1024, {}));
    EXPECT_TRUE(linger.has_had_its_turn());
    EXPECT_FALSE(linger.has_had_its_turn()) << "a new turn";
}

}  // namespace
}  // namespace nearhop::client
