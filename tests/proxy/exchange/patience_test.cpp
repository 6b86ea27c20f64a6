#include "proxy/exchange/patience.h"

#include "proxy/exchange/stopwatch.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>

namespace nearhop::exchange {
namespace {

using namespace std::chrono_literals;
using loop::TimePoint;
using Awaits = Patience::Awaits;
using Delivery = Patience::Delivery;
using Facts = Patience::Facts;
using Why = Patience::Why;

constexpr TimePoint began = TimePoint{} + 1h;

loop::milliseconds age(TimePoint now) { return std::chrono::duration_cast<loop::milliseconds>(now - began); }

/// What becomes of one wait on a virtual clock: the deadline is 15 s, a head may take 10 s, a connection 1 s. `world`
/// says what is true so long after the beginning.
struct Wait {
    Awaits awaits = Awaits::head;
    loop::milliseconds usual{0};
    std::optional<loop::milliseconds> silence{};
    std::function<void(loop::milliseconds, Facts&)> world = [](auto, auto&) {};
};

struct Told {
    Fault fault = Fault::none;
    Why why = Why::none;
    loop::milliseconds after{0};
    unsigned turns = 0, looks = 0, deliveries = 0, probes = 0;
    loop::milliseconds path_lost{-1}, asks_path{-1};  ///< when; -1: never
};

Told told(const Wait& wait) {
    Patience patience;
    EXPECT_TRUE(patience.turn_to(wait.awaits, began));
    patience.begin({began, wait.usual, wait.silence});
    Told end;
    for (TimePoint now = began; end.turns < 10'000; ++end.turns) {
        Facts facts{.deadline = began + 15s, .head_timeout = 10s, .connect_timeout = 1s};
        const auto asks = patience.questions(now, facts.head_timeout);
        end.looks += asks.silence;
        end.deliveries += asks.delivery;
        wait.world(age(now), facts);
        const Facts all = facts;
        // What was not asked for is not known.
        if (!asks.delivery) facts.delivery = Delivery::lost;
        if (!asks.trouble && !facts.in_vain) {
            facts = {.deadline = all.deadline, .head_timeout = 10s, .connect_timeout = 1s};
            facts.others_lost = facts.doubted = facts.may_leave = true;
        }
        const auto step = patience.step(now, facts);
        end.probes += step.want_probe;
        if (step.path_lost) end.path_lost = age(now);
        if (step.ask_path) end.asks_path = age(now);
        if (step.fault != Fault::none) {
            end.fault = step.fault;
            end.why = step.why;
            end.after = age(now);
            return end;
        }
        EXPECT_GT(step.until, now) << "or it would spin";
        now = step.until;
    }
    ADD_FAILURE() << "it never ends";
    return end;
}

auto from(loop::milliseconds begin, void (*change)(Facts&)) {
    return [=](loop::milliseconds since, Facts& facts) {
        if (since >= begin) change(facts);
    };
}

struct Row {
    std::string_view name;
    Wait wait;
    Fault fault;
    Why why;
    loop::milliseconds after;
};
std::ostream& operator<<(std::ostream& out, const Row& row) { return out << row.name; }

class PatienceEnds : public testing::TestWithParam<Row> {};

TEST_P(PatienceEnds, WhenAndWhy) {
    const Row& row = GetParam();
    const Told end = told(row.wait);
    EXPECT_EQ(info(end.fault).code, info(row.fault).code);
    EXPECT_EQ(end.why, row.why);
    EXPECT_EQ(end.after, row.after);
}

const auto acknowledged = [](auto, Facts& facts) { facts.delivery = Delivery::acknowledged; };

INSTANTIATE_TEST_SUITE_P(
    Rows, PatienceEnds,
    testing::Values(
        Row{"DialUntilTheDeadline", {.awaits = Awaits::dial}, Fault::origin_connect_timeout, Why::deadline, 15s},
        Row{"BlockedOriginUntilTheDeadline",
            {.awaits = Awaits::origin},
            Fault::origin_head_timeout,
            Why::deadline,
            15s},
        Row{"NowhereElseUntilTheDeadline", {.world = acknowledged}, Fault::origin_head_timeout, Why::deadline, 15s},
        Row{"HeadTimeoutWhereItMayLeave",
            {.world = [](auto, Facts& facts) { facts.may_leave = true; }},
            Fault::origin_head_timeout,
            Why::late,
            10s},
        Row{"HeadTimeoutBesideAHedge",
            {.world = [](auto, Facts& facts) { facts.hedged = true; }},
            Fault::origin_head_timeout,
            Why::late,
            10s},
        Row{"MayLeaveOnlyLater",
            {.world = from(12'340ms, [](Facts& facts) { facts.may_leave = true; })},
            Fault::origin_head_timeout,
            Why::late,
            12'400ms},
        Row{"SilenceWhereItMayLeave",
            {.silence = 500ms, .world = from(500ms, [](Facts& facts) { facts.in_vain = facts.may_leave = true; })},
            Fault::origin_stalled,
            Why::silent,
            500ms},
        Row{"SilenceWhileDialling",
            {.awaits = Awaits::dial,
             .silence = 500ms,
             .world = from(500ms, [](Facts& facts) { facts.in_vain = facts.may_leave = true; })},
            Fault::origin_stalled,
            Why::silent,
            500ms},
        Row{"SilenceThatEndsIsNone",
            {.silence = 500ms, .world = [](auto since, Facts& facts) { facts.in_vain = since >= 500ms && since < 9s; }},
            Fault::origin_head_timeout,
            Why::deadline,
            15s},
        Row{"SilenceAndNoProbePassedEither",
            {.silence = 500ms, .world = from(500ms, [](Facts& facts) { facts.in_vain = facts.only_waits = true; })},
            Fault::origin_head_timeout,
            Why::late,
            10s},
        Row{"SilenceThatIsTooYoungAtTheHeadTimeout",
            {.silence = 9'500ms, .world = from(9'500ms, [](Facts& facts) { facts.in_vain = facts.only_waits = true; })},
            Fault::origin_head_timeout,
            Why::late,
            10'500ms},
        Row{"SilenceButAProbePassed",
            {.silence = 500ms,
             .world = from(500ms, [](Facts& facts) { facts.in_vain = facts.only_waits = facts.probe_passed = true; })},
            Fault::origin_head_timeout,
            Why::deadline,
            15s},
        Row{"LostPathWhereItMayLeave",
            {.world = from(300ms, [](Facts& facts) { facts.delivery = Delivery::lost, facts.may_leave = true; })},
            Fault::origin_lost,
            Why::lost,
            300ms},
        Row{"LostPathOfASlowOriginIsLookedForLater",
            {.usual = 1s, .world = [](auto, Facts& facts) { facts.delivery = Delivery::lost, facts.may_leave = true; }},
            Fault::origin_lost,
            Why::lost,
            3s},
        Row{"LostPathAtTheHeadTimeoutIsTheReason",
            {.usual = 10s,
             .world = from(10s,
                           [](Facts& facts) { facts.delivery = Delivery::lost, facts.hedged = facts.in_vain = true; })},
            Fault::origin_head_timeout,
            Why::late,
            10s},
        Row{"OthersLostTheirs",
            {.world = from(700ms, [](Facts& facts) { facts.others_lost = facts.may_leave = true; })},
            Fault::origin_lost,
            Why::lost,
            700ms},
        Row{"ADialToTheAddressFailed",
            {.world = from(700ms, [](Facts& facts) { facts.doubted = facts.may_leave = true; })},
            Fault::origin_lost,
            Why::lost,
            700ms},
        Row{"LostPathOfWhatOnlyWaits",
            {.world = [](auto, Facts& facts) { facts.delivery = Delivery::lost, facts.only_waits = true; }},
            Fault::origin_lost,
            Why::lost,
            1s},
        Row{"LostPathAndNothingElseToAsk",
            {.world = [](auto, Facts& facts) { facts.delivery = Delivery::lost; }},
            Fault::origin_head_timeout,
            Why::deadline,
            15s},
        Row{"UnansweredWhereOthersLostTheirs",
            {.world =
                 [](auto since, Facts& facts) {
                     facts.only_waits = true;
                     facts.delivery = since < 4s ? Delivery::acknowledged : Delivery::unanswered;
                     facts.others_lost = since >= 2s;
                 }},
            Fault::origin_lost,
            Why::lost,
            4s},
        Row{"UnansweredAlone",
            {.world = [](auto, Facts& facts) { facts.only_waits = true, facts.delivery = Delivery::unanswered; }},
            Fault::origin_head_timeout,
            Why::deadline,
            15s}),
    [](const auto& row) { return std::string{row.param.name}; });

TEST(Patience, TheKernelIsAskedNoMoreOnceThePeersHasEverything) {
    const Told end = told({.world = [](auto since, Facts& facts) {
        facts.delivery = since < 450ms ? Delivery::under_way : Delivery::acknowledged;
    }});
    EXPECT_EQ(end.deliveries, 4U) << "at 200, 300, 400 and 500 ms";
    EXPECT_EQ(end.asks_path.count(), -1);
    EXPECT_EQ(end.probes, 0U);
}

TEST(Patience, WhatOnlyWaitsHasItsPathAskedAndAProbe) {
    const Told end = told({.world = [](auto since, Facts& facts) {
        facts.only_waits = since >= 350ms;
        facts.delivery = Delivery::acknowledged;
    }});
    EXPECT_EQ(end.asks_path, 400ms);
    EXPECT_GT(end.probes, 100U) << "each look wants one; whoever makes them says how many there are";
    EXPECT_GT(end.deliveries, 100U);
}

TEST(Patience, ALostPathIsToldOnceAndLookedAtNoMore) {
    const Told end = told({.world = [](auto, Facts& facts) {
        facts.delivery = Delivery::lost;
        facts.only_waits = true;
    }});
    EXPECT_EQ(end.path_lost, 200ms);
    EXPECT_EQ(end.deliveries, 1U);
    EXPECT_LT(end.turns, 12U) << "one each 100 ms until a connection would have been given up";
}

TEST(Patience, OnceOthersLostTheirPathItLooksClosely) {
    const Told end = told({.world = [](auto since, Facts& facts) {
        facts.only_waits = true;
        facts.delivery = since < 2'215ms ? Delivery::acknowledged : Delivery::lost;
        facts.others_lost = since >= 2s;
    }});
    EXPECT_EQ(end.fault, Fault::origin_lost);
    EXPECT_EQ(end.after, 2'220ms);
}

TEST(Patience, OnlyOneLookForSilence) {
    EXPECT_EQ(told({.silence = 500ms}).looks, 1U);
    EXPECT_EQ(told({}).looks, 0U) << "others look";
}

TEST(Patience, AnotherWaitBeginsFromTheStart) {
    Patience patience;
    EXPECT_TRUE(patience.turn_to(Awaits::dial, began));
    EXPECT_FALSE(patience.turn_to(Awaits::dial, began + 1s)) << "the same one";
    EXPECT_TRUE(patience.turn_to(Awaits::head, began + 1s));
    patience.begin({began + 1s});
    EXPECT_TRUE(patience.questions(began + 1200ms, 10s).delivery);
    EXPECT_FALSE(patience.turn_to(Awaits::head, began + 1s));
    EXPECT_TRUE(patience.turn_to(Awaits::head, began + 2s)) << "for the head alone, and again with its body behind it";
    patience.begin({began + 2s});
    EXPECT_FALSE(patience.questions(began + 2100ms, 10s).trouble);
    EXPECT_TRUE(patience.turn_to(Awaits::client, began + 3s));
    EXPECT_FALSE(patience.turn_to(Awaits::client, began + 4s));
    EXPECT_FALSE(patience.questions(began + 1h, 10s).trouble) << "its slowness is no trouble of the origin's";
}

TEST(Stopwatch, CountsWhatItRuns) {
    Stopwatch watch;
    EXPECT_EQ(watch.total(began), 0s);
    watch.run(began);
    watch.run(began + 1s);
    EXPECT_EQ(watch.stretch(began + 3s), 3s);
    EXPECT_EQ(watch.lap(began + 4s), 4s);
    EXPECT_EQ(watch.stretch(began + 5s), 1s);
    watch.stop(began + 5s);
    EXPECT_EQ(watch.lap(began + 9s), 0s) << "it stands";
    watch += 2s;
    EXPECT_EQ(watch.total(began + 20s), 7s);
    watch.run(began + 20s);
    EXPECT_EQ(watch.total(began + 21s), 8s);
}

}  // namespace
}  // namespace nearhop::exchange
