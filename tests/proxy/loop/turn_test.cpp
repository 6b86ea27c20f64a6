#include "proxy/loop/turn.h"

#include "tests/proxy/loop/support.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace nearhop::loop {
namespace {

using test::Until;

/// One that takes its turn, notes that, and leaves when it is told to.
struct One {
    One(Loop& loop, Turn& turn, std::string& log, char name) : leave{loop}, task{enter(turn, log, name)} {
        task->start();
    }
    Task<> enter(Turn& turn, std::string& log, char name) {
        const auto held = co_await turn.take();
        log += name;
        co_await leave.wait();
    }
    Wake leave;
    std::optional<Task<>> task;
};

TEST(Turn, IsHeldByOneAtATimeInTheOrderInWhichTheyCame) {
    Loop loop;
    Turn turn{loop};
    std::string log;
    One a{loop, turn, log, 'a'}, b{loop, turn, log, 'b'}, c{loop, turn, log, 'c'};
    EXPECT_EQ(log, "a");
    EXPECT_TRUE(turn.is_taken());
    a.leave.notify();
    const auto over = [&] {
        EXPECT_TRUE(std::string{"abc"}.starts_with(log)) << log;
        if (log == "ab") b.leave.notify();
        if (log == "abc") c.leave.notify();
        return c.task->done();
    };
    ASSERT_TRUE((Until{loop, over}.run()));
    EXPECT_EQ(log, "abc");
    EXPECT_FALSE(turn.is_taken());
}

TEST(Turn, PassesOnWhenWhoHoldsItOrWaitsForItIsDropped) {
    Loop loop;
    Turn turn{loop};
    std::string log;
    One a{loop, turn, log, 'a'}, b{loop, turn, log, 'b'}, c{loop, turn, log, 'c'};
    b.task.reset();
    a.task.reset();
    ASSERT_TRUE((Until{loop, [&] { return log == "ac"; }}.run())) << log;
}

TEST(Turn, PassesOnWhenTheOneWhoseTurnHasComeIsDroppedBeforeItTakesIt) {
    Loop loop;
    Turn turn{loop};
    std::string log;
    One a{loop, turn, log, 'a'}, b{loop, turn, log, 'b'}, c{loop, turn, log, 'c'};
    a.task.reset();
    b.task.reset();
    ASSERT_TRUE((Until{loop, [&] { return log == "ac"; }}.run())) << log;
}

}  // namespace
}  // namespace nearhop::loop
