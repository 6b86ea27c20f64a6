#include "health/failback.h"

#include <gtest/gtest.h>

#include <string_view>

namespace nearhop::health {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr TimePoint start{std::chrono::hours{1}};

/// One origin on a virtual clock, looked at every second as the control thread does. It is down while it is out, and a
/// probe a second finds what it is.
struct Scene {
    Failback failback{FailbackSettings{}};
    TimePoint now = start;
    State state;

    void look(bool in, std::uint64_t answers = 0, std::uint64_t failures = 0) {
        state.verdict = in ? Verdict::up : Verdict::down;
        failback.on_probe(in, now);
        failback.look(state, answers, failures, now);
    }
    void run(seconds time, bool in, std::uint64_t answers = 0, std::uint64_t failures = 0) {
        for (seconds passed{0}; passed < time; ++passed) {
            now += seconds{1};
            look(in, answers, failures);
        }
    }
    /// Back `time` after its fall.
    void fall_for(seconds time) {
        look(false);
        run(time - seconds{1}, false);
        now += seconds{1};
        look(true);
    }
    seconds held() const { return std::chrono::duration_cast<seconds>(failback.hold_until() - now); }
    seconds ramped() {
        seconds taken{0};
        while (failback.ramping() && ++taken < seconds{3600}) run(seconds{1}, true);
        return taken;
    }
};

TEST(Failback, NothingIsHeldWhenTheProcessStarts) {
    Scene scene;
    scene.look(true);
    EXPECT_EQ(scene.failback.share(), Failback::everyone);
}

TEST(Failback, AnOriginThatReturnsIsHeldAndThenTakesAGrowingShare) {
    Scene scene;
    scene.look(true);
    scene.fall_for(seconds{40});
    EXPECT_EQ(scene.failback.share(), 0u);
    scene.run(seconds{39}, true);
    EXPECT_EQ(scene.failback.share(), 0u);
    scene.run(seconds{1}, true);
    std::uint32_t before = scene.failback.share();
    for (int second = 0; second < 19; ++second) {
        scene.run(seconds{1}, true, 100, 0);
        EXPECT_GT(scene.failback.share(), before) << "each client moves once: the share never shrinks";
        before = scene.failback.share();
    }
    EXPECT_LT(before, Failback::everyone);
    scene.run(seconds{1}, true, 100, 0);
    EXPECT_EQ(scene.failback.share(), Failback::everyone);
}

TEST(Failback, HoldAndRampFollowTheOutage) {
    struct Row {
        seconds outage, held, ramp;
    };
    const Row rows[] = {
        {seconds{1}, seconds{5}, seconds{3}},  // a few seconds at least, and the ramp is looked at once a second
        {seconds{5}, seconds{5}, seconds{3}},
        {seconds{6}, seconds{6}, seconds{3}},
        {seconds{12}, seconds{12}, seconds{6}},
        {seconds{60}, seconds{60}, seconds{30}},
        {seconds{120}, seconds{120}, seconds{60}},
        {seconds{3600}, seconds{120}, seconds{60}},  // and two minutes at most
    };
    for (const auto& row : rows) {
        Scene scene;
        scene.look(true);
        scene.fall_for(row.outage);
        EXPECT_EQ(scene.held(), row.held) << row.outage.count();
        scene.run(row.held, true);
        EXPECT_TRUE(scene.failback.ramping()) << row.outage.count();
        EXPECT_EQ(scene.ramped(), row.ramp) << row.outage.count();
    }
}

TEST(Failback, TheHoldCountsFromTheFirstGoodProbeAndTheOutageEndsWithIt) {
    Scene scene;
    scene.look(true);
    scene.look(false);
    scene.run(seconds{9}, false);
    for (const bool passed : {true, false, true, true}) {  // seconds 10 to 13; the verdict needs three in a row
        scene.now += seconds{1};
        scene.failback.on_probe(passed, scene.now);
        scene.failback.look(scene.state, 0, 0, scene.now);
    }
    scene.now += seconds{1};
    scene.look(true);
    EXPECT_EQ(scene.held(), seconds{12 - 2}) << "it was bad for 12 s, and has been good for two";
}

TEST(Failback, WhereProbesSawNothingTheOutageLastsUntilTheEjectionIsOver) {
    Scene scene;
    scene.look(true);
    const auto began = scene.now;
    scene.state.ejected = true;
    scene.state.ejected_until = began + seconds{8};
    scene.failback.look(scene.state, 0, 0, scene.now);
    for (int second = 1; second <= 9; ++second) {  // probes are good from the first second on
        scene.now += seconds{1};
        scene.state.ejected = second < 9;
        scene.failback.on_probe(true, scene.now);
        scene.failback.look(scene.state, 0, 0, scene.now);
    }
    EXPECT_EQ(scene.failback.hold_until() - began, seconds{1 + 8});
    EXPECT_TRUE(scene.failback.ramping()) << "so there is nothing left of the hold";
    EXPECT_EQ(scene.failback.share(), 0u) << "and nobody is back yet";
}

TEST(Failback, AFallBeforeAllAreBackBelongsToTheSameOutageAndATrialThatFailsIsNoFall) {
    Scene scene;
    scene.look(true);
    scene.fall_for(seconds{10});
    scene.run(seconds{5}, true);
    scene.fall_for(seconds{5});
    EXPECT_EQ(scene.held(), seconds{38}) << "20 s since it began, doubled; a little is forgotten";

    for (const bool on_trial : {true, false}) {
        Scene tried;
        tried.look(true);
        tried.fall_for(seconds{10});
        tried.state.on_trial = on_trial;
        tried.run(seconds{10}, true);
        tried.state.ejected = true;
        tried.state.on_trial = false;
        tried.run(seconds{10}, true);
        tried.state.ejected = false;
        tried.look(true);
        EXPECT_NEAR(tried.failback.penalty(tried.now), on_trial ? 1 : 2, 0.1);
    }
}

TEST(Failback, AnOrderIsAnOutageOfItsOwn) {
    Scene scene;
    scene.look(true);
    scene.fall_for(seconds{10});
    scene.run(minutes{30}, true);
    scene.state.order = Override::force_down;  // what the machine knows of failures is half an hour old
    scene.state.verdict = Verdict::down;
    scene.failback.look(scene.state, 0, 0, scene.now);
    scene.now += seconds{20};
    scene.state.order = Override::none;
    scene.look(true);
    EXPECT_EQ(scene.held(), seconds{20});
}

TEST(Failback, TheShareDoesNotGrowWhileItsAnswersFail) {
    Scene scene;
    scene.look(true);
    scene.fall_for(seconds{120});
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
    EXPECT_EQ(first, seconds{5});
    auto before = first;
    for (int fall = 0; fall < 3; ++fall) {
        scene.run(seconds{5}, true);
        scene.fall_for(seconds{5});
        EXPECT_GT(scene.held(), before);
        before = scene.held();
    }
    for (int fall = 0; fall < 30; ++fall) {
        scene.run(seconds{5}, true);
        scene.fall_for(seconds{5});
    }
    EXPECT_EQ(scene.held(), seconds{600}) << "but never longer than the most";
}

TEST(Failback, HalfOfThePenaltyIsForgottenInFiveMinutes) {
    Scene scene;
    scene.look(true);
    for (int fall = 0; fall < 4; ++fall) scene.fall_for(seconds{1});
    const double penalty = scene.failback.penalty(scene.now);
    EXPECT_GT(penalty, 3.9);
    EXPECT_NEAR(scene.failback.penalty(scene.now + minutes{5}), penalty / 2, 0.01);
    scene.run(minutes{60}, true);
    scene.fall_for(seconds{7});
    EXPECT_EQ(scene.held(), seconds{7}) << "after an hour it is as good as new";
}

TEST(Failback, OnlyAnOriginThatWasUpInThisProcessIsHeld) {
    struct Row {
        std::string_view looks;  ///< u: up, d: down, a second each
        seconds held;
    };
    const Row rows[] = {
        {"u", seconds{0}},    {"du", seconds{0}},    {"ddddu", seconds{0}},  {"udu", seconds{5}},
        {"dudu", seconds{5}}, {"duddu", seconds{5}}, {"dududu", seconds{9}},
    };
    for (const auto& row : rows) {
        Scene scene;
        for (const char look : row.looks) scene.run(seconds{1}, look == 'u');
        EXPECT_EQ(scene.failback.holding() ? scene.held() : seconds{0}, row.held) << row.looks;
        EXPECT_EQ(scene.failback.share(), row.held > seconds{0} ? 0 : Failback::everyone) << row.looks;
    }
}

TEST(Failback, OtherSettingsHoldAtOnceForWhoIsOnTheWayBack) {
    Scene scene;
    scene.look(true);
    scene.fall_for(seconds{100});
    EXPECT_EQ(scene.held(), seconds{100});
    scene.failback.set({.hold = milliseconds{20'000}});
    EXPECT_EQ(scene.held(), seconds{20});
    scene.run(seconds{20}, true);
    EXPECT_TRUE(scene.failback.ramping());
    scene.failback.set({.hold = milliseconds{0}, .ramp = milliseconds{0}});
    EXPECT_EQ(scene.failback.share(), Failback::everyone);
}

TEST(Failback, WithoutHoldAndRampItIsBackAtOnce) {
    Scene scene;
    scene.failback.set({.hold = milliseconds{0}, .ramp = milliseconds{0}});
    scene.look(true);
    scene.fall_for(seconds{30});
    EXPECT_EQ(scene.failback.share(), Failback::everyone);
}

TEST(Failback, AConstantHoldIsOneAsLongAsTheLeast) {
    for (const auto outage : {seconds{1}, seconds{60}, seconds{3600}}) {
        Scene scene;
        scene.failback.set({.hold_min = milliseconds{60'000}, .hold = milliseconds{60'000}});
        scene.look(true);
        scene.fall_for(outage);
        EXPECT_EQ(scene.held(), seconds{60}) << outage.count();
    }
}

TEST(Failback, WhatIsNotLearntForATimeDoesNotLengthenAnOutage) {
    Scene scene;
    scene.look(true);
    scene.look(false);
    scene.run(seconds{10}, false);
    scene.failback.stand_still(minutes{10});
    scene.now += minutes{10};
    scene.run(seconds{1}, true);
    EXPECT_EQ(scene.held(), seconds{11});
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
