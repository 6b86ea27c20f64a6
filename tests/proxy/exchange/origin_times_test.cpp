#include "proxy/exchange/origin_times.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace nearhop::exchange {
namespace {

using namespace std::chrono_literals;
using loop::TimePoint;

TimePoint at(std::chrono::microseconds time) { return TimePoint{} + 1000s + time; }

TEST(HeadTimes, TellTheSlowestOfThirtyAnswersAndAP95OfAHundred) {
    HeadTimes times;
    times.add(50ms);
    for (int i = 0; i < 28; ++i) times.add(5ms);
    EXPECT_FALSE(times.known());
    times.add(5ms);
    EXPECT_TRUE(times.known());
    EXPECT_GE(times.p99(), 50ms);
    for (int i = 0; i < 69; ++i) times.add(5ms);
    EXPECT_EQ(times.p95(), 0ms);
    times.add(5ms);
    EXPECT_GE(times.p95(), 5ms);
}

TEST(HeadTimes, QuantilesAreAQuarterOctaveExact) {
    HeadTimes times;
    for (int i = 1; i <= 1024; ++i) times.add(std::chrono::microseconds{i * 100});  // 0.1 ms to 102.4 ms
    EXPECT_GE(times.p95(), 97ms);
    EXPECT_LE(times.p95(), 97ms * 1.26);
    EXPECT_GE(times.p99(), 101ms);
    EXPECT_LE(times.p99(), 101ms * 1.26);
}

TEST(HeadTimes, OldAnswersFade) {
    HeadTimes times;
    for (int i = 0; i < 5000; ++i) times.add(1s);
    for (int i = 0; i < 20'000; ++i) times.add(5ms);
    EXPECT_LE(times.p99(), 7ms);
}

TEST(HeadTimes, ExtremesHaveTheirBuckets) {
    HeadTimes times;
    for (int i = 0; i < 64; ++i) times.add(0ms);
    for (int i = 0; i < 64; ++i) times.add(24h);
    EXPECT_GE(times.p99(), 60s);
}

struct Counting final : loop::Notify {
    int times = 0;
    void notify() noexcept override { ++times; }
};

/// An origin that answered in 5 ms, a request each `every`, up to time zero.
struct SilenceTest : testing::Test {
    void warm(std::chrono::microseconds every) {
        for (int i = 0; i < 200; ++i) {
            times.silence.answered(at((i - 199) * every));
            times.heads.add(5ms);
        }
    }
    void send(std::chrono::microseconds when) {
        waiters.push_back(std::make_unique<Silence::Waiter>());
        waiters.back()->join(times.silence, notified, at(when));
    }
    bool found(std::chrono::microseconds when) { return times.silence.found(at(when), 200ms, times.heads); }

    OriginTimes times;
    Counting notified;
    std::vector<std::unique_ptr<Silence::Waiter>> waiters;
};

TEST_F(SilenceTest, ThreeRequestsThatAllWaitTooLongAreASign) {
    warm(5ms);
    for (const auto when : {1ms, 2ms, 3ms}) send(when);
    EXPECT_FALSE(found(202ms)) << "the third is not old enough";
    EXPECT_TRUE(found(203ms));
    EXPECT_EQ(notified.times, 3);
    for (const auto& waiter : waiters) EXPECT_TRUE(waiter->in_vain());
}

TEST_F(SilenceTest, YoungOnesMoveToo) {
    warm(5ms);
    for (const auto when : {1ms, 2ms, 3ms, 190ms}) send(when);
    EXPECT_TRUE(found(203ms));
    EXPECT_TRUE(waiters.back()->in_vain());
    send(210ms);
    EXPECT_FALSE(waiters.back()->in_vain()) << "it was sent behind the finding";
}

TEST_F(SilenceTest, WhatBeganBeforeTheLastAnswerMovesTooButProvesNothing) {
    warm(5ms);
    for (const auto when : {1ms, 2ms, 3ms}) send(when);
    times.silence.answered(at(4ms));
    EXPECT_FALSE(found(1s));
    for (const auto when : {5ms, 6ms, 7ms}) send(when);
    EXPECT_TRUE(found(1s));
    EXPECT_TRUE(waiters.front()->in_vain());
}

TEST_F(SilenceTest, ThatGoesOnIsFoundAgainByTheFirstNewRequest) {
    warm(5ms);
    for (const auto when : {1ms, 2ms, 3ms, 4ms}) send(when);
    EXPECT_TRUE(found(203ms));
    EXPECT_FALSE(found(204ms));
    send(1001ms);
    EXPECT_FALSE(found(1200ms));
    EXPECT_TRUE(found(1201ms));
    times.silence.answered(at(1300ms));
    for (const auto when : {1301ms, 1302ms}) send(when);
    EXPECT_FALSE(found(3s)) << "that one was broken: a new one needs three again";
}

TEST_F(SilenceTest, WhatWasGivenUpToAHedgeIsASignToo) {
    warm(5ms);
    for (const auto when : {1ms, 2ms, 3ms, 4ms}) times.silence.gave_up(at(when));
    EXPECT_FALSE(found(202ms));
    EXPECT_TRUE(found(203ms));
    EXPECT_FALSE(found(204ms));
    times.silence.gave_up(at(210ms));
    times.silence.answered(at(220ms));
    for (const auto when : {215ms, 230ms, 231ms}) times.silence.gave_up(at(when));
    EXPECT_FALSE(found(3s)) << "the first of them began before the answer";
}

TEST_F(SilenceTest, TwoAreNone) {
    warm(5ms);
    for (const auto when : {1ms, 2ms}) send(when);
    EXPECT_FALSE(found(10s));
}

TEST_F(SilenceTest, OneSlowPathAmongOthersIsNone) {
    warm(5ms);
    for (int i = 0; i < 50; ++i) send(1ms);  // all to the slow path
    for (auto when = 5ms; when < 5s; when += 5ms) {
        times.silence.answered(at(when));
        times.heads.add(5ms);
        EXPECT_FALSE(found(when + 4ms)) << when.count();
    }
}

TEST_F(SilenceTest, ASlowPathThatIsAskedAloneIsNone) {
    warm(1s);
    for (int i = 0; i < 50; ++i) send(1ms);
    EXPECT_FALSE(found(4s)) << "an answer a second: five of them must fail to come";
    EXPECT_TRUE(found(5002ms));
}

TEST_F(SilenceTest, AnOriginThatIsSlowAnywayGetsItsTime) {
    for (int i = 0; i < 200; ++i) {
        times.silence.answered(at((i - 199) * 5ms));
        times.heads.add(i % 20 == 0 ? 300ms : 5ms);
    }
    for (const auto when : {1ms, 2ms, 3ms}) send(when);
    EXPECT_FALSE(found(880ms)) << "three times its p99";
    EXPECT_TRUE(found(1200ms));
}

TEST_F(SilenceTest, BytesOfABodyAreALifeSign) {
    warm(5ms);
    for (const auto when : {1ms, 2ms, 3ms}) send(when);
    times.silence.heard(at(150ms));
    EXPECT_FALSE(found(1s));
}

TEST_F(SilenceTest, AnAnswerAfterTheFindingTakesItBack) {
    warm(5ms);
    for (const auto when : {1ms, 2ms, 3ms}) send(when);
    EXPECT_TRUE(found(203ms));
    times.silence.answered(at(204ms));
    EXPECT_FALSE(waiters.front()->in_vain());
}

TEST_F(SilenceTest, WhoLeftDoesNotCount) {
    warm(5ms);
    for (const auto when : {1ms, 2ms, 3ms, 4ms}) send(when);
    waiters.erase(waiters.begin());
    waiters[1]->leave();
    EXPECT_EQ(times.silence.waiting(), 2U);
    EXPECT_FALSE(found(10s));
}

TEST_F(SilenceTest, ANewOriginIsNotJudged) {
    for (const auto when : {1ms, 2ms, 3ms}) send(when);
    EXPECT_FALSE(found(10s));
}

}  // namespace
}  // namespace nearhop::exchange
