#include "health/latency.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nearhop::health {
namespace {

using namespace std::chrono_literals;

const TimePoint t0{1000s};

TEST(Latency, KnowsNothingBeforeTheFirstSampleAndTakesThatRaw) {
    Latency latency;
    EXPECT_FALSE(latency.mean(t0));
    latency.add(80, t0);
    EXPECT_EQ(latency.mean(t0), 80);
}

TEST(Latency, SettlesByTimeHoweverOftenSamplesCome) {
    // 20 ms, then a step to 200 ms: after tau the mean has gone 1 - 1/e of the way.
    for (const auto tick : {100ms, 1000ms, 5000ms, 30000ms}) {
        Latency latency;
        latency.add(20, t0);
        for (auto passed = tick; passed <= 30s; passed += tick) latency.add(200, t0 + passed);
        EXPECT_NEAR(*latency.mean(t0 + 30s), 200 - 180 * std::exp(-1.0), 1e-6) << tick.count();
    }
}

TEST(Latency, ForgetsAfterThreeMinutesWithoutASample) {
    Latency latency;
    latency.add(20, t0);
    EXPECT_EQ(latency.mean(t0 + 180s), 20);
    EXPECT_FALSE(latency.mean(t0 + 180s + 1ms));
    latency.add(90, t0 + 181s);
    EXPECT_EQ(latency.mean(t0 + 181s), 90) << "the first sample after expiry is raw again";
}

TEST(Latency, IgnoresWhatCannotBeARoundTrip) {
    Latency latency;
    for (const double bad : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()}) latency.add(bad, t0);
    EXPECT_FALSE(latency.mean(t0));
    latency.add(20, t0);
    latency.add(40, t0 - 1s);
    EXPECT_EQ(latency.mean(t0), 20) << "a late sample has no weight";
}

}  // namespace
}  // namespace nearhop::health
