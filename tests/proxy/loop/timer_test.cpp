#include "proxy/loop/keeper.h"
#include "tests/proxy/loop/support.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <algorithm>
#include <ctime>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <vector>

// The clock of this binary is ours: time passes only where the loop sleeps, and takes none. The functions stand before
// the C library's. Asio sleeps in epoll_wait without a limit and has a timerfd end it.
namespace {
std::int64_t fake_nanoseconds = 1'000'000'000;
std::int64_t alarm_nanoseconds = 0;  // 0: none is set
int alarm_descriptor = -1;
std::int64_t sleeps = 0;
std::function<void()> instead_of_a_sleep;  // once

void set_for_real(long nanoseconds) {
    const itimerspec after{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = nanoseconds}};
    syscall(SYS_timerfd_settime, alarm_descriptor, 0, &after, nullptr);
}
}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* into) noexcept {
    if (clock != CLOCK_MONOTONIC) return static_cast<int>(syscall(SYS_clock_gettime, clock, into));
    into->tv_sec = fake_nanoseconds / 1'000'000'000;
    into->tv_nsec = fake_nanoseconds % 1'000'000'000;
    return 0;
}

extern "C" int timerfd_settime(int descriptor, int flags, const itimerspec* next, itimerspec*) noexcept {
    alarm_descriptor = descriptor;
    const auto wait = next->it_value.tv_sec * 1'000'000'000 + next->it_value.tv_nsec;
    alarm_nanoseconds = flags == TFD_TIMER_ABSTIME ? fake_nanoseconds : fake_nanoseconds + wait;
    set_for_real(0);  // one that has rung is silent again
    return 0;
}

extern "C" int epoll_wait(int epoll, epoll_event* events, int room, int timeout) {
    const auto look = [&] { return static_cast<int>(syscall(SYS_epoll_pwait, epoll, events, room, 0, nullptr, 8)); };
    if (timeout == 0) return look();
    ++sleeps;
    if (instead_of_a_sleep) {
        std::exchange(instead_of_a_sleep, nullptr)();
        return 0;
    }
    if (const int count = look(); count != 0) return count;
    if (alarm_nanoseconds == 0) {
        ADD_FAILURE() << "the loop would sleep for ever";
        std::abort();
    }
    fake_nanoseconds = std::max(fake_nanoseconds, alarm_nanoseconds);
    alarm_nanoseconds = 0;
    set_for_real(1);
    return static_cast<int>(syscall(SYS_epoll_pwait, epoll, events, room, -1, nullptr, 8));
}

namespace nearhop::loop {
namespace {

using std::chrono::nanoseconds;
using test::Until;

struct Ring final : Notify {
    explicit Ring(Loop& owner) : loop{owner}, timer{owner, *this} {}
    void notify() noexcept override {
        ++rings;
        early = early || loop.now() < timer.due();
        late = std::max(late, std::chrono::duration_cast<milliseconds>(loop.now() - timer.due()));
        at = loop.now();
        timer.clear();
        if (then) then();
    }
    Loop& loop;
    Timer timer;
    int rings = 0;
    bool early = false;
    milliseconds late{0};
    TimePoint at{};
    std::function<void()> then;
};

constexpr milliseconds guard{3'600'000};

void run_for(Loop& loop, milliseconds time) {
    Ring end{loop};
    end.timer.expires_after(time);
    ASSERT_TRUE((Until{loop, [&] { return end.rings != 0; }, guard}.run()));
}

TEST(Timer, RingsOnceNeverEarlyAndAtMostTwoTicksLate) {
    for (const int wait : {0, 1, 3, 4, 5, 8, 100, 1000, 4088, 4092, 4096, 4100, 8192, 50'000, 600'000}) {
        Loop loop;
        Ring ring{loop};
        ring.timer.expires_after(milliseconds{wait});
        run_for(loop, milliseconds{wait + 20});
        EXPECT_EQ(ring.rings, 1) << wait;
        EXPECT_FALSE(ring.early) << wait;
        EXPECT_LE(ring.late, 2 * Loop::tick) << wait;
    }
}

TEST(Timer, AfterAStandstillWhatArrivedMeanwhileIsKnownBeforeADeadlineIsJudged) {
    Loop loop;
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), 0);
    struct Seen final : Watch {
        void on_events(std::uint32_t) noexcept override { came = true; }
        bool came = false;
    } seen;
    ASSERT_TRUE(loop.watch(ends[0], EPOLLIN, seen));
    Ring deadline{loop};
    bool known = false;
    deadline.then = [&] { known = seen.came; };
    deadline.timer.expires_after(milliseconds{1000});
    instead_of_a_sleep = [&] {  // SIGSTOP as a sleep ends without an event; a byte comes; SIGCONT
        ASSERT_EQ(write(ends[1], "x", 1), 1);
        fake_nanoseconds += 2'500'000'000;
    };
    run_for(loop, milliseconds{3000});
    EXPECT_EQ(deadline.rings, 1);
    EXPECT_TRUE(known);
    loop.unwatch(ends[0], seen);
    close(ends[0]);
    close(ends[1]);
}

TEST(Timer, AfterAStandstillWhatArrivedAtAsiosDescriptorsIsKnownToo) {
    Loop loop;
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), 0);
    boost::asio::posix::stream_descriptor reading{loop.context(), ends[0]};
    bool came = false;
    reading.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                       [&](const boost::system::error_code& error) { came = !error; });
    Ring deadline{loop};
    bool known = false;
    deadline.then = [&] { known = came; };
    deadline.timer.expires_after(milliseconds{1000});
    instead_of_a_sleep = [&] {
        ASSERT_EQ(write(ends[1], "x", 1), 1);
        fake_nanoseconds += 2'500'000'000;
    };
    run_for(loop, milliseconds{3000});
    EXPECT_EQ(deadline.rings, 1);
    EXPECT_TRUE(known);
    close(ends[1]);
}

TEST(Timer, ATimeInThePastRingsAtTheNextTick) {
    Loop loop;
    Ring ring{loop};
    ring.timer.expires_at(loop.now() - milliseconds{5000});
    run_for(loop, milliseconds{20});
    EXPECT_EQ(ring.rings, 1);
}

TEST(Timer, MovedLaterItRingsAtTheNewTimeOnly) {
    Loop loop;
    Ring ring{loop};
    const auto began = loop.now();
    ring.timer.expires_after(milliseconds{20});
    ring.timer.expires_after(milliseconds{9000});
    run_for(loop, milliseconds{10'000});
    EXPECT_EQ(ring.rings, 1);
    EXPECT_GE(ring.at - began, milliseconds{9000});
    EXPECT_LE(ring.late, 2 * Loop::tick);
}

TEST(Timer, MovedEarlierItRingsEarlier) {
    Loop loop;
    Ring ring{loop};
    ring.timer.expires_after(milliseconds{100'000});
    ring.timer.expires_after(milliseconds{30});
    run_for(loop, milliseconds{1000});
    EXPECT_EQ(ring.rings, 1);
    EXPECT_LE(ring.late, 2 * Loop::tick);
}

TEST(Timer, MovedLaterAndBackKeepsTheEarlierTime) {
    Loop loop;
    Ring ring{loop};
    ring.timer.expires_after(milliseconds{40});
    ring.timer.expires_after(milliseconds{60'000});
    ring.timer.expires_after(milliseconds{50});
    run_for(loop, milliseconds{1000});
    EXPECT_EQ(ring.rings, 1);
    EXPECT_LE(ring.late, 2 * Loop::tick);
}

TEST(Timer, ClearedItIsSilentAndMayBeSetAgain) {
    Loop loop;
    Ring ring{loop};
    ring.timer.expires_after(milliseconds{10});
    ring.timer.clear();
    run_for(loop, milliseconds{5000});
    EXPECT_EQ(ring.rings, 0);
}

TEST(Timer, ClearedAndSetAgainWhileItsOldSlotIsStillAhead) {
    Loop loop;
    Ring ring{loop};
    ring.timer.expires_after(milliseconds{100});
    ring.timer.clear();
    ring.timer.expires_after(milliseconds{10});
    run_for(loop, milliseconds{50});
    EXPECT_EQ(ring.rings, 1);
    EXPECT_LE(ring.late, 2 * Loop::tick);
}

TEST(Timer, DestroyedItIsSilent) {
    Loop loop;
    auto ring = std::make_unique<Ring>(loop);
    ring->timer.expires_after(milliseconds{10});
    ring.reset();
    run_for(loop, milliseconds{50});  // AddressSanitizer would see the call
}

TEST(Timer, TwoOfOneSlotMayDestroyEachOther) {
    Loop loop;
    auto one = std::make_unique<Ring>(loop);
    auto two = std::make_unique<Ring>(loop);
    int rings = 0;
    one->then = [&] { ++rings, two.reset(); };
    two->then = [&] { ++rings, one.reset(); };
    one->timer.expires_after(milliseconds{10});
    two->timer.expires_after(milliseconds{10});
    run_for(loop, milliseconds{50});
    EXPECT_EQ(rings, 1);
}

TEST(Timer, SetAgainFromItsOwnRingItGoesOn) {
    Loop loop;
    Ring ring{loop};
    ring.then = [&] {
        if (ring.rings < 100) ring.timer.expires_after(milliseconds{7});
    };
    ring.timer.expires_after(milliseconds{7});
    run_for(loop, milliseconds{3000});
    EXPECT_EQ(ring.rings, 100);
    EXPECT_FALSE(ring.early);
}

TEST(Timer, AStallLongerThanTheWheelLosesNothing) {
    for (const int stall : {10, 4095, 4096, 4097, 9000, 100'000}) {
        Loop loop;
        std::vector<std::unique_ptr<Ring>> rings;
        for (int wait = 1; wait < 20'000; wait += 13) {
            rings.push_back(std::make_unique<Ring>(loop));
            rings.back()->timer.expires_after(milliseconds{wait});
        }
        loop.post([&] { fake_nanoseconds += std::int64_t{stall} * 1'000'000; });
        run_for(loop, milliseconds{20'100});
        for (const auto& ring : rings) {
            ASSERT_EQ(ring->rings, 1) << "stall " << stall;
            ASSERT_FALSE(ring->early);
        }
    }
}

TEST(Timer, AFarTimerCostsOneSleepPerTurnOfTheWheel) {
    Loop loop;
    Ring ring{loop};
    ring.timer.expires_after(milliseconds{600'000});
    const auto before = sleeps;
    ASSERT_TRUE((Until{loop, [&] { return ring.rings != 0; }, guard}.run()));
    EXPECT_LT(sleeps - before, 2 * (600'000 / 4096 + 3)) << "the guard of this test has one as well";
}

TEST(Timer, AgainstAModelOfRandomMoves) {
    std::mt19937_64 random{20240607};
    for (int round = 0; round < 20; ++round) {
        Loop loop;
        std::vector<std::unique_ptr<Ring>> rings;
        std::vector<int> expected(200);
        for (int i = 0; i < 200; ++i) rings.push_back(std::make_unique<Ring>(loop));
        const auto any_wait = [&] {
            const auto kind = random() % 4;
            return milliseconds{random() % (kind == 0 ? 20 : kind == 1 ? 500 : kind == 2 ? 5000 : 60'000)};
        };
        Ring driver{loop};
        int moves = 0;
        driver.then = [&] {
            for (int i = 0; i < 20; ++i) {
                const auto which = random() % rings.size();
                auto& ring = *rings[which];
                if (random() % 8 == 0) {
                    if (ring.timer.due() != TimePoint::max()) --expected[which];
                    ring.timer.clear();
                } else {
                    if (ring.timer.due() == TimePoint::max()) ++expected[which];
                    ring.timer.expires_after(any_wait());
                }
            }
            if (random() % 50 == 0)
                fake_nanoseconds += static_cast<std::int64_t>(random() % 5'000'000'000);
            else
                fake_nanoseconds += static_cast<std::int64_t>(random() % 3'000'000);
            if (++moves < 300) driver.timer.expires_after(milliseconds{random() % 40});
        };
        driver.timer.expires_after(milliseconds{1});
        ASSERT_TRUE((Until{loop,
                           [&] {
                               return moves == 300 && std::all_of(rings.begin(), rings.end(), [](const auto& ring) {
                                          return ring->timer.due() == TimePoint::max();
                                      });
                           },
                           guard}
                         .run()));
        for (std::size_t i = 0; i < rings.size(); ++i) {
            EXPECT_EQ(rings[i]->rings, expected[i]);
            EXPECT_FALSE(rings[i]->early);
        }
    }
}

TEST(Keeper, BeginsAgainASecondAfterAFailureAndEndsWhenItsBodyDoes) {
    Loop loop;
    const auto began = loop.now();
    int begun = 0;
    std::vector<std::string> failures;
    const auto body = [&]() -> Task<> {
        if (++begun < 3) throw std::runtime_error{"try " + std::to_string(begun)};
        co_return;
    };
    const auto kept = keep(loop, body, [&](const std::exception& error) { failures.emplace_back(error.what()); });
    kept.start();
    EXPECT_EQ(begun, 1) << "not again at once: what fails for lack of memory would spin";
    ASSERT_TRUE((Until{loop, [&] { return kept.done(); }, guard}.run()));
    EXPECT_EQ(begun, 3);
    EXPECT_EQ(failures, (std::vector<std::string>{"try 1", "try 2"}));
    EXPECT_GE(loop.now() - began, milliseconds{2000});
    EXPECT_LE(loop.now() - began, milliseconds{2100});
}

}  // namespace
}  // namespace nearhop::loop
