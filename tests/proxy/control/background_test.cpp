#include "proxy/loop/background.h"

#include "proxy/loop/left_behind.h"
#include "tests/proxy/control/support.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

namespace nearhop::control {
namespace {

using loop::Background;

TEST(Background, WorksOnAThreadOfItsOwnWhileTheLoopGoesOn) {
    loop::Loop loop;
    Background background{loop};
    const auto body = [](loop::Loop& here, Background& elsewhere) -> loop::Task<> {
        // It waits for what only the loop's thread does, which that could not do if it waited for the work.
        std::promise<int> answer;
        here.post([&] { answer.set_value(7); });
        auto work = [future = answer.get_future().share()] {
            return std::pair{std::this_thread::get_id(), future.get()};
        };
        const auto [thread, value] = co_await elsewhere.run(std::move(work));
        EXPECT_NE(thread, std::this_thread::get_id());
        EXPECT_EQ(value, 7);
    };
    EXPECT_TRUE(drive(loop, body(loop, background)));
}

TEST(Background, ThrowsWhatTheWorkThrew) {
    loop::Loop loop;
    Background background{loop};
    const auto body = [](Background& elsewhere) -> loop::Task<> {
        auto work = []() -> int { throw std::runtime_error{"no disk"}; };
        std::string what;
        try {
            co_await elsewhere.run(std::move(work));
        } catch (const std::runtime_error& error) {
            what = error.what();
        }
        EXPECT_EQ(what, "no disk");
    };
    EXPECT_TRUE(drive(loop, body(background)));
}

TEST(Background, MayBeLeftByWhoWaitsAndWaitsForItsWorkAtTheEnd) {
    loop::Loop loop;
    std::promise<void> go;
    const auto kept = std::make_shared<int>(1);
    {
        Background background{loop};
        auto work = [go = go.get_future().share(), kept] {
            go.wait();
            return *kept;
        };
        std::optional<loop::Task<int>> asked = background.run(std::move(work));
        asked->start();
        asked.reset();
        go.set_value();
    }
    EXPECT_EQ(kept.use_count(), 1) << "the work is over, and has let go of all it held";
    EXPECT_FALSE(loop::any_left_behind());
}

TEST(Background, LeavesBehindWhatDoesNotComeBackInTime) {
    loop::Loop loop;
    std::promise<void> go;
    std::promise<void> over;
    {
        Background background{loop, std::chrono::milliseconds{1}};
        struct Tell {
            std::promise<void>& over;
            explicit Tell(std::promise<void>& which) : over{which} {}
            ~Tell() { over.set_value(); }
        };
        auto work = [go = go.get_future().share(), tell = std::make_shared<Tell>(over)] {
            go.wait();
            return 0;
        };
        const auto asked = background.run(std::move(work));
        asked.start();
    }
    EXPECT_TRUE(loop::any_left_behind());
    go.set_value();
    over.get_future().wait();
}

}  // namespace
}  // namespace nearhop::control
