#include "health/failback.h"

#include <gtest/gtest.h>

#include <string_view>

namespace nearhop::health {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr TimePoint start{std::chrono::hours{1}};

/// One origin on a virtual clock, looked at every second as the control thread does.
struct Scene {
    Failback failback{FailbackSettings{}};
    TimePoint now = start;

    void look(bool in, std::uint64_t answers = 0, std::uint64_t failures = 0) {
        failback.look(in, answers, failures, now);
    }
    void run(seconds time, bool in, std::uint64_t answers = 0, std::uint64_t failures = 0) {
        for (seconds passed{0}; passed < time; ++passed) {
            now += seconds{1};
            look(in, answers, failures);
        }
    }
    void fall_for(seconds time) {
        look(false);
        run(time, false);
        now += seconds{1};
        look(true);
    }
    seconds held() const { return std::chrono::duration_cast<seconds>(failback.hold_until() - now); }
};

TEST(Failback, NothingIsHeldWhenTheProcessStarts) {
    Scene scene;
    scene.look(true);
    EXPECT_EQ(scene.failback.share(), Failback::everyone);
}

TEST(Failback, AnOriginThatReturnsIsHeldAndThenTakesAGrowingShare) {
    Scene scene;
    scene.look(true);
    scene.fall_for(seconds{30});
    EXPECT_EQ(scene.failback.share(), 0u);
    scene.run(seconds{119}, true);
    EXPECT_EQ(scene.failback.share(), 0u);
    scene.run(seconds{1}, true);
    std::uint32_t before = scene.failback.share();
    for (int second = 0; second < 59; ++second) {
        scene.run(seconds{1}, true, 100, 0);
        EXPECT_GT(scene.failback.share(), before) << "each client moves once: the share never shrinks";
        before = scene.failback.share();
    }
    EXPECT_LT(before, Failback::everyone);
    scene.run(seconds{1}, true, 100, 0);
    EXPECT_EQ(scene.failback.share(), Failback::everyone);
}

TEST(Failback, TheShareDoesNotGrowWhileItsAnswersFail) {
    Scene scene;
    scene.look(true);
    scene.fall_for(seconds{30});
    scene.run(seconds{150}, true);
    const auto half = scene.failback.share();
    EXPECT_NEAR(half, Failback::everyone / 2, Failback::everyone / 50);
    scene.run(minutes{5}, true, 100, 5);
    EXPECT_EQ(scene.failback.share(), half);
    scene.run(seconds{10}, true, 4, 4);
    EXPECT_GT(scene.failback.share(), half) << "four answers say nothing";
    scene.run(seconds{30}, true, 100, 4);
    EXPECT_EQ(scene.failback.share(), Failback::everyone);
}

TEST(Failback, AnOriginThatKeepsFallingIsHeldLonger) {
    Scene scene;
    scene.look(true);
    scene.fall_for(seconds{5});
    const auto first = scene.held();
    EXPECT_EQ(first, seconds{120});
    auto before = first;
    for (int fall = 0; fall < 3; ++fall) {
        scene.run(seconds{5}, true);
        scene.fall_for(seconds{5});
        EXPECT_GT(scene.held(), before);
        before = scene.held();
    }
    for (int fall = 0; fall < 20; ++fall) {
        scene.run(seconds{5}, true);
        scene.fall_for(seconds{5});
    }
    EXPECT_EQ(scene.held(), seconds{600}) << "but never longer than the most";
}

TEST(Failback, HalfOfThePenaltyIsForgottenInFiveMinutes) {
    Scene scene;
    scene.look(true);
    for (int fall = 0; fall < 4; ++fall) scene.fall_for(seconds{0});
    const double penalty = scene.failback.penalty(scene.now);
    EXPECT_GT(penalty, 3.9);
    EXPECT_NEAR(scene.failback.penalty(scene.now + minutes{5}), penalty / 2, 0.01);
    scene.run(minutes{60}, true);
    scene.fall_for(seconds{5});
    EXPECT_EQ(scene.held(), seconds{120}) << "after an hour it is as good as new";
}

TEST(Failback, OnlyAnOriginThatWasUpInThisProcessIsHeld) {
    struct Row {
        std::string_view looks;  ///< u: up, d: down, a second each
        seconds held;
    };
    const Row rows[] = {
        {"u", seconds{0}},      {"du", seconds{0}},      {"ddddu", seconds{0}},    {"udu", seconds{120}},
        {"dudu", seconds{120}}, {"duddu", seconds{120}}, {"dududu", seconds{238}},
    };
    for (const auto& row : rows) {
        Scene scene;
        for (const char look : row.looks) scene.run(seconds{1}, look == 'u');
        EXPECT_EQ(scene.failback.holding() ? scene.held() : seconds{0}, row.held) << row.looks;
        EXPECT_EQ(scene.failback.share(), row.held > seconds{0} ? 0 : Failback::everyone) << row.looks;
    }
}

TEST(Failback, WithoutHoldAndRampItIsBackAtOnce) {
    Scene scene;
    scene.failback.set({.hold = milliseconds{0}, .ramp = milliseconds{0}});
    scene.look(true);
    scene.fall_for(seconds{30});
    EXPECT_EQ(scene.failback.share(), Failback::everyone);
}

TEST(Failback, APardonedOriginIsSettled) {
    Scene scene;
    scene.look(true);
    scene.fall_for(seconds{30});
    scene.failback.pardon();
    EXPECT_EQ(scene.failback.share(), Failback::everyone);
    EXPECT_EQ(scene.failback.penalty(scene.now), 0);
}

}  // namespace
}  // namespace nearhop::health
