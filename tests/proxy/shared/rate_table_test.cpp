#include "proxy/shared/rate_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace nearhop::shared {
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

TEST(Bucket, FollowsAnotherLimitAtOnce) {
    struct Row {
        const char* what;
        Pace before;
        int taken;
        Pace after;
        nanoseconds later;  ///< after the change
        int allowed;
    };
    const Row rows[] = {
        {"raised: what was used up is back at the new rate", Pace::of(2, 3600s, 2), 2, Pace::of(100, 1s, 100), 0s, 98},
        {"and all of it after a moment", Pace::of(2, 3600s, 2), 2, Pace::of(100, 1s, 100), 20ms, 100},
        {"only the rate is raised", Pace::of(2, 3600s, 2), 2, Pace::of(100, 1s, 2), 10ms, 1},
        {"only the burst is raised", Pace::of(2, 3600s, 2), 2, Pace::of(2, 3600s, 5), 0s, 3},
        {"lowered: nobody who has used it up gets more", Pace::of(3, 3600s, 3), 3, Pace::of(2, 3600s, 2), 0s, 0},
        {"and the first token comes at the new rate", Pace::of(3, 3600s, 3), 3, Pace::of(2, 3600s, 2), 30min, 1},
        {"what is left stays, as far as it fits", Pace::of(100, 1s, 100), 1, Pace::of(2, 3600s, 2), 0s, 2},
        {"one is left of a hundred", Pace::of(100, 1s, 100), 99, Pace::of(2, 3600s, 2), 0s, 1},
        {"a debt of days is one of the new burst", Pace::of(1, 3600s, 100), 100, Pace::of(10, 1s, 5), 500ms, 5},
        {"the same", Pace::of(1, 3600s, 3), 2, Pace::of(1, 3600s, 3), 0s, 1},
    };
    for (const auto& row : rows) {
        Bucket bucket;
        EXPECT_EQ(allowed_at(bucket, row.before, start, row.taken), row.taken) << row.what;
        const Pace after = row.before.followed_by(row.after, start);
        EXPECT_EQ(allowed_at(bucket, after, start + row.later, 1000), row.allowed) << row.what;
    }
}

TEST(Bucket, FollowsAnotherLimitAlsoWhenItIsLookedAtMuchLater) {
    Bucket bucket;
    const Pace wide = Pace::of(100, 3600s, 100);
    EXPECT_EQ(allowed_at(bucket, wide, start, 100), 100);
    const Pace narrow = wide.followed_by(Pace::of(2, 3600s, 2), start);
    EXPECT_EQ(allowed_at(bucket, narrow, start + 1h, 10), 2) << "filled since the change, though nobody looked";
}

TEST(Bucket, OfAClockThatWasSetBackOwesOneBurstAtMost) {
    Bucket bucket;
    EXPECT_TRUE(bucket.take(Pace::of(1000, 1s, 1000), start).allowed);
    const Pace slow = Pace::of(10, 1s, 10);  // a hundredth of what the other clock shows
    EXPECT_FALSE(bucket.take(slow, start).allowed);
    EXPECT_TRUE(bucket.take(slow, start + 100ms).allowed);
}

TEST(Bucket, NoRateAndBurstThatMayBeConfiguredOverflows) {
    struct Row {
        unsigned count;
        std::chrono::seconds per;
        unsigned burst;
    };
    const Row rows[] = {
        {1, 3600s, 2'562'048},   // the first burst that 64 bits of nanoseconds do not hold
        {1, 3600s, 10'000'000},  // the largest that parses
        {1'000'000, 3600s, 10'000'000}, {1'000'000, 1s, 10'000'000}, {1'000'000, 1s, 1},
    };
    for (const auto& row : rows) {
        for (const nanoseconds now : {nanoseconds{1s}, nanoseconds{24h * 365 * 30}}) {
            Bucket bucket;
            const Pace pace = Pace::of(row.count, row.per, row.burst);
            EXPECT_TRUE(bucket.take(pace, now).allowed) << row.burst;
            EXPECT_EQ(bucket.take(pace, now).allowed, row.burst > 1) << row.burst;
            EXPECT_TRUE(bucket.take(pace, now + 1h).allowed) << row.burst;
        }
    }
    Bucket emptied;
    const Pace pace = Pace::of(1, 3600s, 10'000'000);
    EXPECT_EQ(allowed_at(emptied, pace, start, 10'000'001), 10'000'000);
    EXPECT_EQ(emptied.take(pace, start).retry_after, 1h);
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

TEST(RateTable, TheOneNearestToFullGivesWayWhateverTheirPaces) {
    RateTable table{64};
    const Pace slow = Pace::of(1, 3600s, 10);
    const Pace fast = Pace::of(1000, 1s, 10);  // its clock shows a million times as much
    const std::uint64_t held_back = 77;
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(table.take(held_back, slow, start).allowed);
    for (std::uint64_t key = 1000; key < 11'000; ++key) table.take(key, fast, start);
    EXPECT_FALSE(table.take(held_back, slow, start).allowed);
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
}  // namespace nearhop::shared
