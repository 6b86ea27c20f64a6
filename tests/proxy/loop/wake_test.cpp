#include "tests/proxy/loop/support.h"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/epoll.h>
#include <thread>
#include <vector>

namespace nearhop::loop {
namespace {

using test::Until;

Task<void> count(Wake& wake, int& wakes, int most) {
    while (wakes < most) {
        co_await wake.wait();
        ++wakes;
    }
}

TEST(Wake, ManyNotificationsOfOneBatchWakeOnce) {
    Loop loop;
    Wake wake{loop};
    int wakes = 0;
    const auto task = count(wake, wakes, 100);
    task.start();
    int batches = 0;
    loop.post([&] {
        for (int i = 0; i < 5; ++i) wake.notify();
        EXPECT_EQ(wakes, 0) << "a waiter runs after the batch, not inside a notification";
    });
    ASSERT_TRUE((Until{loop, [&] { return ++batches == 1; }}.run()));
    EXPECT_EQ(wakes, 1);
}

TEST(Wake, ANotificationBeforeTheWaitIsNotLost) {
    Loop loop;
    Wake wake{loop};
    int wakes = 0;
    wake.notify();
    wake.notify();
    const auto task = count(wake, wakes, 2);
    task.start();
    EXPECT_EQ(wakes, 1) << "two notifications are one, and the second wait waits";
    EXPECT_FALSE(task.done());
}

TEST(Wake, OneNotificationEndsOneWaitOnly) {
    Loop loop;
    Wake wake{loop};
    int wakes = 0;
    const auto task = count(wake, wakes, 3);
    task.start();
    loop.post([&] { wake.notify(); });
    int batches = 0;
    ASSERT_TRUE((Until{
        loop, [&] {
            if (++batches < 3) loop.post([] {});
            return batches == 3;
        }}.run()));
    EXPECT_EQ(wakes, 1);
}

Task<void> work_and_send(Wake& wake, char name, std::string& log) {
    for (;;) {
        co_await wake.wait();
        log += name;
        co_await wake.yield_if_crowded();
        log += static_cast<char>(name - 'a' + 'A');
    }
}

TEST(Wake, InACrowdedBatchAllWorkBeforeAnySends) {
    Loop loop;
    Wake first{loop}, second{loop}, third{loop};
    std::string log;
    const Task<void> tasks[] = {work_and_send(first, 'a', log), work_and_send(second, 'b', log),
                                work_and_send(third, 'c', log)};
    for (const auto& task : tasks) task.start();
    loop.post([&] {
        first.notify();
        second.notify();
        third.notify();
    });
    ASSERT_TRUE((Until{loop, [&] { return log.size() == 6; }}.run()));
    EXPECT_EQ(log, "abcABC");
}

TEST(Wake, WhoIsAloneInItsBatchSendsAtOnce) {
    Loop loop;
    Wake first{loop}, second{loop};
    std::string log;
    const Task<void> tasks[] = {work_and_send(first, 'a', log), work_and_send(second, 'b', log)};
    for (const auto& task : tasks) task.start();
    loop.post([&] {
        first.notify();
        loop.post([&] { second.notify(); });
    });
    std::size_t after_one_batch = 0;
    ASSERT_TRUE((Until{
        loop, [&] {
            if (!log.empty() && after_one_batch == 0) after_one_batch = log.size();
            return log.size() == 4;
        }}.run()));
    EXPECT_EQ(log, "aAbB");
    EXPECT_EQ(after_one_batch, 2U);
}

Task<void> destroy_when_woken(Wake& wake, std::optional<Task<void>>& victim, std::unique_ptr<Wake>& victims_wake) {
    co_await wake.wait();
    victim.reset();
    victims_wake.reset();
}

TEST(Wake, DestroyedWhileReadyIsNotResumed) {
    Loop loop;
    Wake killer{loop};
    auto wake = std::make_unique<Wake>(loop);
    int wakes = 0;
    std::optional<Task<void>> victim{count(*wake, wakes, 1)};
    const auto task = destroy_when_woken(killer, victim, wake);
    task.start();
    victim->start();
    loop.post([&] {
        killer.notify();
        wake->notify();
    });
    ASSERT_TRUE((Until{loop, [&] { return task.done(); }}.run()));
    EXPECT_EQ(wakes, 0);
}

TEST(Wake, WhoWasDroppedWhileWaitingIsNotResumed) {
    Loop loop;
    Wake first{loop};
    Wake second{loop};
    int dropped = 0;
    int wakes = 0;
    std::optional<Task<void>> task{count(first, dropped, 1)};
    task->start();
    task.reset();
    // Most likely in the frame that has just become free: whoever still holds its handle resumes this one.
    task.emplace(count(second, wakes, 1));
    task->start();
    first.notify();
    int batches = 0;
    const auto twice = [&] {
        if (++batches < 2) loop.post([] {});
        return batches == 2;
    };
    ASSERT_TRUE((Until{loop, twice}.run()));
    EXPECT_EQ(dropped + wakes, 0);
    EXPECT_FALSE(task->done());

    task.emplace(count(first, dropped, 1));
    task->start();
    EXPECT_TRUE(task->done()) << "what nobody waited for is still pending";
}

TEST(Wake, DroppedBetweenTheNotificationAndItsTurnNothingIsResumed) {
    Loop loop;
    Wake wake{loop};
    int wakes = 0;
    std::optional<Task<void>> task{count(wake, wakes, 1)};
    task->start();
    loop.post([&] {
        wake.notify();
        task.reset();
    });
    int batches = 0;
    ASSERT_TRUE((Until{loop, [&] { return ++batches == 1; }}.run()));
    EXPECT_EQ(wakes, 0);
}

TEST(Wake, AWaiterMayOutliveIt) {
    Loop loop;
    std::optional<Wake> wake{loop};
    int wakes = 0;
    const auto task = count(*wake, wakes, 1);
    task.start();
    wake.reset();
    EXPECT_FALSE(task.done());
}

Task<void> ping(Wake& own, Wake& other, std::vector<int>& batch_of, const int& batch) {
    for (int i = 0; i < 5; ++i) {
        co_await own.wait();
        batch_of.push_back(batch);
        other.notify();
    }
}

TEST(Wake, WhatIsMadeReadyByAWaiterRunsInTheNextBatch) {
    Loop loop;
    Wake left{loop};
    Wake right{loop};
    std::vector<int> left_ran;
    std::vector<int> right_ran;
    int batch = 0;
    const auto one = ping(left, right, left_ran, batch);
    const auto two = ping(right, left, right_ran, batch);
    one.start();
    two.start();
    left.notify();
    ASSERT_TRUE((Until{
        loop, [&] {
            ++batch;
            return one.done() && two.done();
        }}.run()));
    for (std::size_t i = 0; i < 5; ++i) EXPECT_LT(left_ran[i], right_ran[i]);
    for (std::size_t i = 1; i < 5; ++i) EXPECT_LT(right_ran[i - 1], left_ran[i]);
}

TEST(Post, RunsInOrder) {
    Loop loop;
    std::vector<int> ran;
    for (int i = 0; i < 100; ++i) loop.post([&, i] { ran.push_back(i); });
    loop.post([&] { loop.stop(); });
    loop.run();
    ASSERT_EQ(ran.size(), 100U);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(ran[static_cast<std::size_t>(i)], i);
}

TEST(Post, WorkMayPostMoreWork) {
    Loop loop;
    int depth = 0;
    std::function<void()> again = [&] {
        if (++depth == 50)
            loop.stop();
        else
            loop.post(again);
    };
    loop.post(again);
    loop.run();
    EXPECT_EQ(depth, 50);
}

TEST(Threads, EveryThreadsPostsArriveOnceAndInItsOrder) {
    Loop loop;
    constexpr int threads = 4;
    constexpr int each = 2000;
    std::array<int, threads> next{};
    int total = 0;
    bool in_order = true;
    std::vector<std::thread> posters;
    for (int t = 0; t < threads; ++t)
        posters.emplace_back([&, t] {
            for (int i = 0; i < each; ++i)
                loop.post([&, t, i] {
                    in_order = in_order && next[static_cast<std::size_t>(t)]++ == i;
                    ++total;
                });
        });
    EXPECT_TRUE((Until{loop, [&] { return total == threads * each; }}.run()));
    for (auto& poster : posters) poster.join();
    EXPECT_TRUE(in_order);
    EXPECT_EQ(total, threads * each);
}

TEST(Threads, StopEndsALoopThatWaitsForEver) {
    for (int round = 0; round < 50; ++round) {
        Loop loop;
        std::thread thread{[&] { loop.run(); }};
        loop.stop();
        thread.join();
    }
}

TEST(Threads, APostWakesAWaitingCoroutineOfAnotherThread) {
    Loop loop;
    Wake wake{loop};
    int wakes = 0;
    const auto task = count(wake, wakes, 200);
    task.start();
    std::thread poster{[&] {
        for (int i = 0; i < 1000; ++i) loop.post([&] { wake.notify(); });
        for (int i = 0; i < 200; ++i)
            loop.post([&] {
                if (!task.done()) loop.post([&] { wake.notify(); });
            });
    }};
    Until until{loop, [&] {
                    if (!task.done()) loop.post([&] { wake.notify(); });
                    return task.done();
                }};
    EXPECT_TRUE(until.run());
    poster.join();
    EXPECT_EQ(wakes, 200);
}

/// Closes another watched descriptor from inside its own event.
class Closer final : public Watch {
public:
    Closer(Loop& owner, int own) : loop_{owner}, own_{own} {}
    void on_events(std::uint32_t) noexcept override {
        ++events;
        if (!victim) return;
        loop_.unwatch(victim->own_, *victim);
        ::close(victim->own_);
        victim = nullptr;
    }
    Closer* victim = nullptr;
    int events = 0;

private:
    Loop& loop_;
    int own_;
};

TEST(Loop, WhatIsUnwatchedDuringABatchGetsNoEventOfThatBatch) {
    Loop loop;
    std::array<int, 2> left{};
    std::array<int, 2> right{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, left.data()), 0);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, right.data()), 0);
    Closer one{loop, left[0]};
    Closer two{loop, right[0]};
    one.victim = &two;
    two.victim = &one;
    ASSERT_TRUE(loop.watch(left[0], EPOLLIN, one));
    ASSERT_TRUE(loop.watch(right[0], EPOLLIN, two));
    test::send_all(left[1], "x");
    test::send_all(right[1], "x");
    ASSERT_TRUE((Until{loop, [&] { return one.events + two.events > 0; }}.run()));
    EXPECT_EQ(one.events + two.events, 1) << "whichever came first closed the other";
    ::close(one.events ? left[0] : right[0]);
    ::close(left[1]);
    ::close(right[1]);
}

/// A descriptor that has news in every batch: what comes is answered with more.
class Busy final : public Watch {
public:
    explicit Busy(Loop& owner) : loop_{owner} {
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_.data()), 0);
        EXPECT_TRUE(loop_.watch(ends_[0], EPOLLIN, *this));
        test::send_all(ends_[1], "x");
    }
    ~Busy() {
        loop_.unwatch(ends_[0], *this);
        for (const int end : ends_) ::close(end);
    }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;
    void on_events(std::uint32_t) noexcept override {
        ++events;
        char byte = 0;
        EXPECT_EQ(::read(ends_[0], &byte, 1), 1);
        test::send_all(ends_[1], "x");
    }
    int events = 0;

private:
    Loop& loop_;
    std::array<int, 2> ends_{};
};

TEST(Loop, HotSocketsDoNotStarveTheContext) {
    Loop loop;
    Busy busy{loop};
    int ran = 0;
    std::function<void()> again = [&] {
        if (++ran < 1000) loop.post(again);
    };
    loop.post(again);
    ASSERT_TRUE((Until{loop, [&] { return ran == 1000; }}.run()));
    EXPECT_GT(busy.events, 10) << "they were busy all the while";
}

TEST(Loop, TheContextDoesNotStarveHotSockets) {
    Loop loop;
    Busy busy{loop};
    bool flood = true;
    std::function<void()> again = [&] {
        if (flood) loop.post(again);
    };
    for (int i = 0; i < 100; ++i) loop.post(again);
    ASSERT_TRUE((Until{loop, [&] { return busy.events >= 1000; }}.run())) << "each handler posts the next";
    flood = false;
}

TEST(Loop, AHandlerSeesTheTimeAtWhichItRunsNotTheOneBeforeTheLoopSlept) {
    Loop loop;
    TimePoint seen;
    std::thread poster;
    const auto began = Clock::now();
    loop.post([&] {
        poster = std::thread{[&] {
            const auto later = began + milliseconds{50};
            std::this_thread::sleep_until(later);  // nothing is waited for: the loop has to sleep meanwhile
            loop.post([&] { seen = loop.now(); });
        }};
    });
    ASSERT_TRUE((Until{loop, [&] { return seen != TimePoint{}; }}.run()));
    poster.join();
    EXPECT_GE(seen - began, milliseconds{50});
}

TEST(Loop, WhereNobodyHearsOfItAnExceptionLeavesRun) {
    Loop loop;
    loop.post([] { throw std::runtime_error{"out of a handler"}; });
    EXPECT_THROW(loop.run(), std::runtime_error);
}

TEST(Loop, RunsAgainAfterAStop) {
    Loop loop;
    for (int round = 0; round < 3; ++round) {
        bool ran = false;
        loop.post([&] {
            ran = true;
            loop.stop();
        });
        loop.run();
        EXPECT_TRUE(ran);
    }
}

TEST(Loop, DestroysWhatWasNeverRun) {
    const auto held = std::make_shared<int>(1);
    {
        Loop loop;
        loop.post([held] {});
        EXPECT_EQ(held.use_count(), 2);
    }
    EXPECT_EQ(held.use_count(), 1);
}

TEST(Loop, WatchingADescriptorThatCannotBeWatchedSaysSo) {
    Loop loop;
    Closer watch{loop, -1};
    EXPECT_FALSE(loop.watch(-1, EPOLLIN, watch));
    EXPECT_EQ(errno, EBADF);
}

TEST(Mail, ThatThrewIsToldAndTheLoopGoesOn) {
    Loop loop;
    std::string told;
    bool reached = false;
    loop.on_failure([&](const std::exception& error) { told = error.what(); });
    loop.post([] { throw std::runtime_error{"no memory"}; });
    loop.post([&] { reached = true; });
    ASSERT_TRUE((Until{loop, [&] { return reached; }}.run()));
    EXPECT_EQ(told, "no memory");
}

}  // namespace
}  // namespace nearhop::loop
