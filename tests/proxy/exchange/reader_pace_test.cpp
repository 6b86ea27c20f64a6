#include "proxy/exchange/reader_pace.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace nearhop::exchange {
namespace {

using namespace std::chrono_literals;
using loop::TimePoint;

constexpr std::uint64_t rate = 100;
constexpr loop::milliseconds window = 60s;

/// Seconds until the reader is too slow, asked whenever the pace wants to be; 0: not within a day. `taken(second)` is
/// what its system has by then.
template <class Taken>
long too_slow_after(Taken taken, std::uint64_t least = rate) {
    ReaderPace pace;
    pace.begin(0, window, least);
    const TimePoint began{};
    pace.await(true, began);
    for (TimePoint now = began; now < began + 24h; now = pace.due()) {
        const auto second = std::chrono::duration_cast<std::chrono::seconds>(now - began).count();
        if (pace.is_too_slow(now, [&] { return ReaderPace::Taken{static_cast<std::uint64_t>(taken(second)), false}; }))
            return second;
    }
    return 0;
}

/// A system that takes `buffer` at once and tells of what its application reads in steps.
auto system_of(std::uint64_t bytes_per_second, std::uint64_t buffer, std::uint64_t step) {
    return [=](long second) { return buffer + static_cast<std::uint64_t>(second) * bytes_per_second / step * step; };
}

TEST(ReaderPace, ASteadyReaderIsNeverTooSlowHoweverRarelyTcpTellsOfIt) {
    struct Row {
        std::uint64_t bytes_per_second, buffer, step;
    };
    for (const Row& row : {Row{100, 64 << 10, 4 << 10}, Row{100, 64 << 10, 64 << 10}, Row{1000, 64 << 10, 64 << 10},
                           Row{1000, 6 << 20, 384 << 10}, Row{20'000, 6 << 20, 384 << 10}, Row{101, 0, 1}})
        EXPECT_EQ(too_slow_after(system_of(row.bytes_per_second, row.buffer, row.step)), 0)
            << row.bytes_per_second << " in steps of " << row.step;
}

TEST(ReaderPace, WhoTakesTooLittleIs) {
    EXPECT_EQ(too_slow_after([](long) { return 0; }), 60) << "nothing at all";
    EXPECT_EQ(too_slow_after([](long) { return 1000; }), 70) << "what it took is good for ten seconds";
    EXPECT_EQ(too_slow_after([](long) { return 4 << 20; }), 780) << "for twelve windows at most";
    const long dribble = too_slow_after([](long second) { return static_cast<std::uint64_t>(second); });
    EXPECT_TRUE(dribble >= 60 && dribble < 62) << dribble << ": a byte a second is worth a hundredth of one";
    const long half = too_slow_after([](long second) { return static_cast<std::uint64_t>(second) * rate / 2; });
    EXPECT_TRUE(half > 110 && half < 125) << half;
}

TEST(ReaderPace, WithoutARateAnyByteIsGoodForAWindow) {
    EXPECT_EQ(too_slow_after([](long second) { return static_cast<std::uint64_t>(second / 50); }, 0), 0);
    EXPECT_EQ(too_slow_after([](long second) { return static_cast<std::uint64_t>(std::min(second, 600L)); }, 0), 660);
}

TEST(ReaderPace, ItsTimeStandsStillWhileSomebodyElseIsAwaited) {
    ReaderPace pace;
    pace.begin(500, window, rate);
    const auto nothing = [] { return ReaderPace::Taken{500, false}; };
    TimePoint now{};
    pace.await(true, now);
    pace.await(false, now += 59s);
    pace.await(true, now += 1h);
    EXPECT_FALSE(pace.is_too_slow(now, nothing));
    EXPECT_EQ(pace.due(), now + 1s);
    pace.await(true, now += 1s);
    EXPECT_TRUE(pace.is_too_slow(now, nothing)) << "it was awaited for a minute";
}

TEST(ReaderPace, WhoIsLostIsNotGivenTheTimeThatItHad) {
    ReaderPace pace;
    pace.begin(0, window, rate);
    TimePoint now{};
    pace.await(true, now);
    EXPECT_FALSE(pace.is_too_slow(now += 60s, [] { return ReaderPace::Taken{1 << 20, true}; })) << "it took something";
    EXPECT_EQ(pace.due(), now + 60s) << "and is looked at again";
    EXPECT_TRUE(pace.is_too_slow(now += 60s, [] { return ReaderPace::Taken{1 << 20, true}; }));
}

TEST(ReaderPace, ATotalThatFallsIsNoProgress) {
    ReaderPace pace;
    pace.begin(1000, window, 0);
    TimePoint now{};
    pace.await(true, now);
    EXPECT_TRUE(pace.is_too_slow(now += 60s, [] { return ReaderPace::Taken{900, false}; }));
}

}  // namespace
}  // namespace nearhop::exchange
