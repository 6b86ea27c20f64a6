#include "proxy/shared/origin_load.h"

#include <gtest/gtest.h>

#include <optional>
#include <thread>
#include <vector>

namespace nearhop::shared {
namespace {

using Slots = std::vector<OriginLoad::Slot>;

Slots fill(OriginLoad& load, const loop::Loop& loop, unsigned count) {
    Slots slots;
    for (unsigned i = 0; i < count; ++i) {
        slots.push_back(load.enter(loop));
        EXPECT_TRUE(slots.back()) << i;
    }
    return slots;
}

TEST(OriginLoad, GivesAsManySlotsAsItsCapacityAndTakesThemBack) {
    loop::Loop loop;
    OriginLoad load;
    load.set(3, 10);
    auto slots = fill(load, loop, 3);
    EXPECT_FALSE(load.enter(loop));
    slots.pop_back();
    EXPECT_TRUE(load.enter(loop));
    slots.clear();
    EXPECT_EQ(load.in_flight(), 0U);
}

TEST(OriginLoad, IsBusyFromEightyPercentOnAndFullAtAHundred) {
    const struct {
        unsigned capacity, in_flight;
        bool busy, full;
    } rows[] = {{10, 7, false, false}, {10, 8, true, false}, {10, 10, true, true}, {1, 0, false, false},
                {1, 1, true, true},    {2, 1, false, false}, {5, 4, true, false},  {0, 50, false, false}};
    for (const auto& row : rows) {
        loop::Loop loop;
        OriginLoad load;
        load.set(row.capacity, 0);
        const auto slots = fill(load, loop, row.in_flight);
        EXPECT_EQ(load.is_busy(), row.busy) << row.in_flight << " of " << row.capacity;
        EXPECT_EQ(load.is_full(), row.full) << row.in_flight << " of " << row.capacity;
    }
}

TEST(OriginLoad, WhoWaitsLongestIsNextAndNobodyOvertakes) {
    loop::Loop loop;
    loop::Wake first_wake{loop}, second_wake{loop};
    OriginLoad load;
    load.set(1, 10);
    auto slots = fill(load, loop, 1);
    OriginLoad::Waiter first{load, first_wake}, second{load, second_wake};
    EXPECT_FALSE(first.take());
    slots.clear();
    EXPECT_FALSE(load.enter(loop)) << "two wait already";
    EXPECT_FALSE(second.take());
    auto slot = first.take();
    EXPECT_TRUE(slot);
    EXPECT_FALSE(first.take()) << "once";
    slot.release();
    EXPECT_TRUE(second.take());
    EXPECT_EQ(load.queued(), 0U);
}

TEST(OriginLoad, TheQueueIsBounded) {
    loop::Loop loop;
    loop::Wake wake{loop};
    OriginLoad load;
    load.set(1, 1);
    const auto slots = fill(load, loop, 1);
    const OriginLoad::Waiter first{load, wake}, second{load, wake};
    EXPECT_FALSE(first.refused());
    EXPECT_TRUE(second.refused());
}

TEST(OriginLoad, WhoLeavesTheQueuePassesItsTurnOn) {
    loop::Loop loop;
    loop::Wake wake{loop};
    OriginLoad load;
    load.set(1, 10);
    auto slots = fill(load, loop, 1);
    std::optional<OriginLoad::Waiter> first;
    first.emplace(load, wake);
    OriginLoad::Waiter second{load, wake};
    slots.clear();
    first.reset();  // its turn had come
    EXPECT_TRUE(second.take());
    EXPECT_EQ(load.in_flight(), 0U) << "the slot was a temporary";
}

TEST(OriginLoad, MoreCapacityWakesWhoWaits) {
    loop::Loop loop;
    loop::Wake wake{loop};
    OriginLoad load;
    load.set(1, 10);
    const auto slots = fill(load, loop, 1);
    OriginLoad::Waiter waiter{load, wake};
    load.set(2, 10);
    EXPECT_TRUE(waiter.take());
}

TEST(OriginLoad, NeverHoldsMoreThanItsCapacityWhateverTheNumberOfThreads) {
    OriginLoad load;
    load.set(10, 0);
    std::atomic<int> inside{0}, most{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            loop::Loop loop;
            for (int round = 0; round < 20'000; ++round) {
                const auto slot = load.enter(loop);
                if (!slot) continue;
                const int now = ++inside;
                int seen = most.load();
                while (now > seen && !most.compare_exchange_weak(seen, now)) {
                }
                --inside;
            }
        });
    for (auto& thread : threads) thread.join();
    EXPECT_LE(most.load(), 10);
    EXPECT_EQ(load.in_flight(), 0U);
}

TEST(OriginLoad, ASlotOfAnotherThreadWakesTheWaiterThroughItsLoop) {
    loop::Loop here, there;
    loop::Wake wake{here};
    OriginLoad load;
    load.set(1, 10);
    auto slot = load.enter(there);
    OriginLoad::Waiter waiter{load, wake};
    std::thread other{[&] { slot.release(); }};
    OriginLoad::Slot mine;
    here.after_batch([&] {
        if ((mine = waiter.take())) here.stop();
    });
    here.run();
    other.join();
    EXPECT_TRUE(mine);
}

TEST(OriginLoad, OneWorkerOfManyReportsAStall) {
    OriginLoad load;
    const auto at = [](int ms) { return loop::TimePoint{} + std::chrono::milliseconds{100'000 + ms}; };
    EXPECT_TRUE(load.first_to_report_stall(at(0)));
    EXPECT_FALSE(load.first_to_report_stall(at(1)));
    EXPECT_FALSE(load.first_to_report_stall(at(499)));
    EXPECT_TRUE(load.first_to_report_stall(at(500)));
}

}  // namespace
}  // namespace nearhop::shared
