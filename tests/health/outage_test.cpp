#include "health/outage.h"

#include <gtest/gtest.h>

namespace nearhop::health {
namespace {

using std::chrono::seconds;

constexpr TimePoint start{std::chrono::hours{1}};

TimePoint at(int second) { return start + seconds{second}; }

/// An origin that serves, as the machine and the orders of the operator show it.
struct Scene {
    Machine machine{Thresholds{}};
    Outage outage;
    Override order = Override::none;

    Scene() {
        probe(true, 0);
        look(0);
    }
    void probe(bool passed, int second) {
        machine.on_probe({.passed = passed, .reason = Reason::refused, .began = at(second)}, at(second));
        outage.on_probe(passed, at(second));
    }
    /// In a row, one a second: enough for either verdict.
    void three(bool passed, int from) {
        for (int second = from; second < from + 3; ++second) probe(passed, second);
    }
    Outage::Ended look(int second, bool whole = true) {
        State state = machine.state();
        state.order = order;
        if (order == Override::force_down) state.verdict = Verdict::down;
        return outage.look(state, whole, at(second));
    }
};

TEST(Outage, DetectionIsFromTheFirstProbeThatFailedToTheVerdict) {
    Scene scene;
    for (const int second : {10, 11}) {
        scene.probe(false, second);
        EXPECT_FALSE(scene.look(second).detection) << "two failures are not three";
    }
    scene.probe(false, 13);
    const auto ended = scene.look(14);
    ASSERT_TRUE(ended.detection);
    EXPECT_EQ(*ended.detection, seconds{4});
    EXPECT_FALSE(scene.look(15).detection) << "told once";
}

TEST(Outage, FailuresThatWereForgivenAreNoPartOfIt) {
    Scene scene;
    scene.probe(false, 10);
    scene.three(true, 11);  // `rise` passes
    scene.three(false, 20);
    EXPECT_EQ(scene.look(22).detection, seconds{2});
}

TEST(Outage, ARowOfLiveFailuresBeginsWithItsFirst) {
    Scene scene;
    scene.machine.on_passive(Passive::answered_failed, Reason::status, at(5), 0);
    scene.machine.on_passive(Passive::ok, Reason::none, at(6), 0);
    for (int second = 10; second < 15; ++second)
        scene.machine.on_passive(Passive::answered_failed, Reason::status, at(second), 0);
    EXPECT_EQ(scene.look(14).detection, seconds{4});
}

TEST(Outage, AShareOfFailuresBeginsWithTheOldestInItsWindow) {
    Scene scene;
    scene.machine.on_traffic(100, 1, at(1), 0);
    for (int second = 30; second < 33; ++second) scene.machine.on_traffic(4, second == 30 ? 0 : 8, at(second), 0);
    ASSERT_TRUE(scene.machine.state().ejected);
    EXPECT_EQ(scene.look(32).detection, seconds{1}) << "the failure of second 1 has left the window";
}

TEST(Outage, RecoveryIsFromTheFirstGoodProbeUntilEverybodyIsBack) {
    Scene scene;
    scene.three(false, 10);
    scene.look(12);
    scene.probe(true, 20);
    scene.probe(false, 21);
    scene.three(true, 30);
    EXPECT_FALSE(scene.look(32, false).recovery) << "up, but held back";
    const auto ended = scene.look(90);
    ASSERT_TRUE(ended.recovery);
    EXPECT_EQ(*ended.recovery, seconds{60});
    EXPECT_FALSE(scene.look(91).recovery) << "told once";
}

TEST(Outage, WhereProbesWereGoodAllAlongTheFirstAfterTheEjectionBeginsIt) {
    Scene scene;
    for (int second = 10; second < 15; ++second) {
        scene.probe(true, second);
        scene.machine.on_passive(Passive::answered_failed, Reason::status, at(second), 0);
    }
    ASSERT_TRUE(scene.look(14).detection);
    for (int second = 15; second < 30; ++second) scene.probe(true, second);
    ASSERT_FALSE(scene.machine.state().ejected);
    EXPECT_EQ(scene.look(30).recovery, seconds{15});
}

TEST(Outage, AFallWhileItReturnsIsAnotherDetectionOfTheSameOutage) {
    Scene scene;
    scene.three(false, 10);
    scene.look(12);
    scene.three(true, 20);
    EXPECT_FALSE(scene.look(22, false).recovery);
    scene.three(false, 30);
    EXPECT_EQ(scene.look(32, false).detection, seconds{2});
    scene.three(true, 40);
    EXPECT_EQ(scene.look(50).recovery, seconds{10});
}

TEST(Outage, AnAddressThatStaysDeadDoesNotShortenTheReturn) {
    Scene scene;
    scene.three(false, 10);
    scene.look(12);
    scene.three(true, 20);
    scene.look(22, false);
    for (int second = 25; second < 90; second += 5) scene.outage.on_probe(false, at(second));  // of another address
    scene.outage.on_probe(true, at(90));
    EXPECT_EQ(scene.look(90).recovery, seconds{70});
}

TEST(Outage, WhatAnOrderToBeUpHidIsNotDetectedWhenItEnds) {
    Scene scene;
    scene.three(false, 10);
    ASSERT_TRUE(scene.look(12).detection);
    const auto forced_up = [&](int second) {
        State state = scene.machine.state();
        state.order = Override::force_up;
        state.verdict = Verdict::up;
        return scene.outage.look(state, true, at(second));
    };
    forced_up(20);
    forced_up(14'000);
    EXPECT_FALSE(scene.look(14'420).detection) << "it was noticed four hours ago";
}

TEST(Outage, OrdersAndOriginsThatNeverServedHaveNone) {
    Scene ordered;
    ordered.order = Override::force_down;
    EXPECT_FALSE(ordered.look(10).detection);
    ordered.order = Override::none;
    EXPECT_FALSE(ordered.look(20).recovery);

    Outage outage;
    Machine machine{Thresholds{}};
    machine.on_probe({.passed = false, .reason = Reason::refused, .began = at(0)}, at(0));
    EXPECT_FALSE(outage.look(machine.state(), true, at(0)).detection) << "dead when the edge started";
    for (const int second : {5, 6, 7}) {
        machine.on_probe({.passed = true, .began = at(second)}, at(second));
        outage.on_probe(true, at(second));
    }
    EXPECT_FALSE(outage.look(machine.state(), true, at(7)).recovery);
}

TEST(Outage, WhatTheEdgeTookBackIsNone) {
    Scene scene;
    scene.three(false, 10);
    ASSERT_TRUE(scene.look(12).detection);
    scene.outage.forget();
    scene.three(true, 20);
    EXPECT_FALSE(scene.look(22).recovery);
}

}  // namespace
}  // namespace nearhop::health
