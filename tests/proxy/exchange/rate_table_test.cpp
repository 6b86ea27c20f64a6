#include "proxy/exchange/rate_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace nearhop::exchange {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

constexpr nanoseconds start = 1000s;  ///< the machine has been up for a while

int allowed_at(Bucket& bucket, const Pace& pace, nanoseconds now, int asked) {
    int allowed = 0;
    for (int i = 0; i < asked; ++i) allowed += bucket.take(pace, now).allowed ? 1 : 0;
    return allowed;
}

TEST(Bucket, GivesItsBurstAndThenItsRate) {
    Bucket bucket;
    const Pace pace = Pace::of(10, 1s, 5);
    EXPECT_EQ(allowed_at(bucket, pace, start, 100), 5);
    EXPECT_EQ(allowed_at(bucket, pace, start + 99ms, 100), 0);
    EXPECT_EQ(allowed_at(bucket, pace, start + 100ms, 100), 1);
    EXPECT_EQ(allowed_at(bucket, pace, start + 350ms, 100), 2);
    EXPECT_EQ(allowed_at(bucket, pace, start + 1h, 100), 5) << "it never holds more than its burst";
}

TEST(Bucket, SaysWhenTheNextTokenComes) {
    Bucket bucket;
    const Pace pace = Pace::of(2, 60s, 1);
    EXPECT_TRUE(bucket.take(pace, start).allowed);
    const Taken refused = bucket.take(pace, start + 10s);
    EXPECT_FALSE(refused.allowed);
    EXPECT_EQ(refused.retry_after, 20s);
    EXPECT_TRUE(bucket.take(pace, start + 30s).allowed) << "and then it is there";
}

TEST(Bucket, ARefusalCostsNothing) {
    Bucket bucket;
    const Pace pace = Pace::of(1, 1s, 1);
    EXPECT_TRUE(bucket.take(pace, start).allowed);
    for (int i = 0; i < 1000; ++i) EXPECT_FALSE(bucket.take(pace, start + 500ms).allowed);
    EXPECT_TRUE(bucket.take(pace, start + 1s).allowed);
}

TEST(Bucket, AfterAReloadNobodyWaitsLongerThanTheNewDepth) {
    Bucket bucket;
    EXPECT_EQ(allowed_at(bucket, Pace::of(1, 3600s, 100), start, 200), 100);  // full again in 100 hours
    const Taken refused = bucket.take(Pace::of(10, 1s, 5), start);
    EXPECT_FALSE(refused.allowed);
    EXPECT_LE(refused.retry_after, 100ms);
}

TEST(Bucket, KeepsItsCountBetweenThreads) {
    Bucket bucket;
    const Pace pace = Pace::of(1, 3600s, 1000);
    std::atomic<int> allowed = 0;
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { allowed += allowed_at(bucket, pace, start, 10'000); });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(allowed, 1000);
}

TEST(RateTable, KeepsKeysApart) {
    RateTable table{1024};
    const Pace pace = Pace::of(1, 1s, 3);
    for (std::uint64_t key = 1; key <= 500; ++key)
        for (int i = 0; i < 5; ++i) EXPECT_EQ(table.take(key, pace, start).allowed, i < 3) << key;
}

TEST(RateTable, AFloodOfNewcomersForgetsItsOwnAndNotTheOneThatIsHeldBack) {
    RateTable table{64};
    const Pace pace = Pace::of(1, 1s, 10);
    const std::uint64_t held_back = 77;
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(table.take(held_back, pace, start).allowed);
    bool forgot = false;
    for (std::uint64_t key = 1000; key < 11'000; ++key) forgot = table.take(key, pace, start).forgot || forgot;
    EXPECT_TRUE(forgot) << "10,000 addresses in 64 places: that must be told";
    EXPECT_FALSE(table.take(held_back, pace, start).allowed);
}

TEST(RateTable, AFullBucketIsNoLossToForget) {
    RateTable table{64};
    const Pace pace = Pace::of(1, 1s, 1);
    for (std::uint64_t key = 1; key <= 64; ++key) EXPECT_TRUE(table.take(key, pace, start).allowed);
    for (std::uint64_t key = 1001; key <= 1064; ++key) {
        const Taken taken = table.take(key, pace, start + 2s);
        EXPECT_TRUE(taken.allowed && !taken.forgot) << key;
    }
}

TEST(RateTable, ManyThreadsAndManyKeysNeverBlockAndHardlyMisjudge) {
    RateTable table{256};
    const Pace pace = Pace::of(1, 3600s, 10);
    std::atomic<int> allowed = 0;
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int round = 0; round < 1000; ++round)
                for (std::uint64_t key = 1; key <= 100; ++key)
                    if (table.take(key * 0x9e3779b97f4a7c15U, pace, start).allowed) ++allowed;
        });
    for (auto& thread : threads) thread.join();
    EXPECT_GE(allowed, 1000);
    EXPECT_LE(allowed, 1200) << "two workers may have met in one place at the beginning";
}

}  // namespace
}  // namespace nearhop::exchange
