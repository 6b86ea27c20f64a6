#include "health/isolation.h"

#include "tests/support/rows.h"

#include <gtest/gtest.h>

#include <random>
#include <sstream>

namespace nearhop::health {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint start{std::chrono::hours{1}};

/// Two origins and two control targets, told in words: "eu silent", "dns asked 3s ago", "wait 1s" ...
struct Scene {
    Isolation guard;
    TimePoint now = start;

    Scene() { guard.follow({"us", "eu"}, {"dns", "gate"}, now); }

    /// What changed in each sentence: "begins", "ends" or nothing, separated by spaces.
    std::string tell(const std::string& story) {
        std::string told;
        std::istringstream sentences{story};
        std::string sentence;
        while (std::getline(sentences, sentence, ',')) {
            std::istringstream words{sentence};
            std::string who, what;
            unsigned number = 0;
            words >> who >> what >> number;
            bool changed = false;
            if (who == "wait") {
                now += milliseconds{std::stoi(what)};
            } else if (what == "silent") {
                changed = guard.origin_silent(who, now);
            } else if (what == "asked") {  // in vain, so many milliseconds ago
                changed = guard.target_silent(who, now - milliseconds{number}, now);
            } else if (what == "answers") {  // within so many milliseconds
                changed = guard.answered(now - milliseconds{number}, now);
            } else {
                ADD_FAILURE() << sentence;
            }
            if (changed) told += (told.empty() ? "" : " ") + std::string{guard.isolated() ? "begins" : "ends"};
        }
        return told;
    }
};

struct Row {
    const char* name;
    const char* story;
    const char* changes;
};
using tests::PrintTo;

class Stories : public testing::TestWithParam<Row> {};
TEST_P(Stories, ChangeWhatTheyShould) { EXPECT_EQ(Scene{}.tell(GetParam().story), GetParam().changes); }

INSTANTIATE_TEST_SUITE_P(
    Isolation, Stories,
    testing::Values(
        Row{"AllSilent", "us answers,wait 500,us silent,eu silent,dns asked 100,gate asked 100", "begins"},
        Row{"InAnyOrder", "us answers,wait 500,gate asked 100,eu silent,dns asked 100,us silent", "begins"},
        Row{"AtTheStartNobodyHasAnsweredYet", "us silent,eu silent,dns asked 10,gate asked 10", "begins"},
        Row{"OneOriginAlive", "us answers,wait 500,eu silent,dns asked 100,gate asked 100,eu silent", ""},
        Row{"OneTargetAlive", "us answers,wait 500,us silent,eu silent,gate asked 100,us silent,eu silent", ""},
        Row{"TheTargetsAlone", "us answers,wait 500,dns asked 100,gate asked 100,wait 1000,dns asked 100", ""},
        Row{"AnAnswerInBetween", "wait 9,us silent,eu silent,dns asked 1,eu answers,gate asked 0,us silent", ""},
        Row{"ATargetAskedBeforeTheLastAnswer", "us answers,wait 50,us silent,eu silent,dns asked 100,gate asked 100",
            ""},
        Row{"AndAskedAgain",
            "us answers,wait 50,us silent,eu silent,dns asked 100,gate asked 100,wait 100,dns asked 100,gate asked 100",
            "begins"},
        Row{"ATargetAnswersAtTheEnd", "us silent,eu silent,dns asked 1,gate asked 1,wait 5000,gate answers 0",
            "begins ends"},
        Row{"AnOriginAnswersAtTheEnd", "us silent,eu silent,dns asked 1,gate asked 1,wait 5000,eu answers 0",
            "begins ends"},
        Row{"AnAnswerFromBeforeEndsNothing",
            "us silent,eu silent,dns asked 1,gate asked 1,wait 500,eu answers 600,wait 500,eu answers 600",
            "begins ends"},
        Row{"AfterTheEndItTakesNewSilenceOfEverybody",
            "us silent,eu silent,dns asked 1,gate asked 1,wait 500,us answers 0,wait 100,us silent,dns asked 10,gate "
            "asked "
            "10,wait 100,eu silent",
            "begins ends begins"},
        Row{"StrangersSayNothing", "ap silent,us silent,eu silent,icmp asked 1,dns asked 1", ""}),
    [](const auto& row) { return std::string{row.param.name}; });

TEST(Isolation, WithoutTargetsItNeverBeginsAndWithoutThemAnyMoreItEnds) {
    Isolation guard;
    guard.follow({"us"}, {}, start);
    EXPECT_FALSE(guard.is_on());
    EXPECT_FALSE(guard.origin_silent("us", start + 1s));

    EXPECT_FALSE(guard.follow({"us"}, {"dns"}, start + 2s)) << "it was not asked yet";
    EXPECT_TRUE(guard.target_silent("dns", start + 2s, start + 3s)) << "what was known of the origin is kept";
    EXPECT_TRUE(guard.follow({"us"}, {}, start + 4s));
    EXPECT_FALSE(guard.isolated());
}

TEST(Isolation, AReloadKeepsWhatIsKnownAndMayDecide) {
    Scene scene;
    EXPECT_EQ(scene.tell("us silent,dns asked 1,gate asked 1"), "");
    EXPECT_TRUE(scene.guard.follow({"us"}, {"dns", "gate"}, scene.now))
        << "only the one that had answered held it back";
    EXPECT_FALSE(scene.guard.follow({"us", "ap"}, {"dns"}, scene.now)) << "a new origin does not end it";
    EXPECT_TRUE(scene.guard.isolated());
}

TEST(Isolation, FailuresOfWhatBeganBeforeItsEndAreOurs) {
    Scene scene;
    EXPECT_FALSE(scene.guard.is_ours(start)) << "nothing has happened";
    scene.tell("us silent,eu silent,dns asked 1,gate asked 1,wait 5000");
    EXPECT_TRUE(scene.guard.is_ours(scene.now + 1s));
    scene.tell("us answers 0");
    EXPECT_TRUE(scene.guard.is_ours(scene.now));
    EXPECT_FALSE(scene.guard.is_ours(scene.now + 1ms));
}

TEST(Isolation, SignsOfReasons) {
    for (const auto reason :
         {Reason::passed, Reason::refused, Reason::status, Reason::tls_certificate, Reason::bad_body})
        EXPECT_EQ(sign_of(reason), Sign::answered) << name(reason);
    for (const auto reason : {Reason::unreachable, Reason::connect_timeout, Reason::head_timeout, Reason::stalled})
        EXPECT_EQ(sign_of(reason), Sign::silent) << name(reason);
    for (const auto reason : {Reason::none, Reason::reset, Reason::body_timeout, Reason::operator_drain})
        EXPECT_EQ(sign_of(reason), Sign::none) << name(reason);
}

/// The rule once more, from the whole history instead of a few times.
TEST(IsolationModel, AgreesWithTheHistoryOverRandomEvents) {
    std::mt19937 random{20261126};
    const auto below = [&](unsigned limit) { return std::uniform_int_distribution<unsigned>{0, limit - 1}(random); };
    int begun = 0, ended = 0, late = 0;
    for (int sequence = 0; sequence < 2000; ++sequence) {
        const unsigned origins = 1 + below(3), targets = below(3);
        std::vector<std::string> names, asked;
        for (unsigned i = 0; i < origins; ++i) names.push_back("o" + std::to_string(i));
        for (unsigned i = 0; i < targets; ++i) asked.push_back("t" + std::to_string(i));
        Isolation guard;
        TimePoint now = start;
        guard.follow(names, asked, now);
        struct Event {
            char kind;  // a: answered, o: an origin is silent, t: a target is
            unsigned who;
            TimePoint at;
        };
        std::vector<Event> history;
        bool isolated = false;
        TimePoint since{};
        for (int step = 0; step < 60; ++step) {
            SCOPED_TRACE("sequence " + std::to_string(sequence) + " step " + std::to_string(step));
            now += milliseconds{1 + below(2000)};
            const bool was = isolated;
            bool changed = false;
            switch (below(isolated ? 9 : 5)) {
                case 0: {
                    const TimePoint earliest = now - milliseconds{below(3) == 0 ? below(4000) : 0};
                    changed = guard.answered(earliest, now);
                    history.push_back({'a', 0, now});
                    late += isolated && earliest <= since;
                    if (earliest > since) isolated = false;
                    break;
                }
                case 1:
                case 2: {
                    if (targets == 0) continue;
                    const unsigned who = below(targets);
                    const TimePoint began = now - milliseconds{below(1500)};
                    changed = guard.target_silent(asked[who], began, now);
                    history.push_back({'t', who, began});
                    break;
                }
                default: {
                    const unsigned who = below(origins);
                    changed = guard.origin_silent(names[who], now);
                    history.push_back({'o', who, now});
                }
            }
            // Everybody was silent after the last answer of anybody.
            TimePoint answer{};
            for (const auto& event : history)
                if (event.kind == 'a') answer = std::max(answer, event.at);
            const auto silent = [&](char kind, unsigned who) {
                return std::any_of(history.begin(), history.end(), [&](const Event& event) {
                    return event.kind == kind && event.who == who && event.at > answer;
                });
            };
            bool all = targets > 0 && history.back().kind != 'a';
            for (unsigned i = 0; i < origins; ++i) all = all && silent('o', i);
            for (unsigned i = 0; i < targets; ++i) all = all && silent('t', i);
            if (all && !isolated) {
                isolated = true;
                since = now;
            }
            ASSERT_EQ(guard.isolated(), isolated);
            ASSERT_EQ(changed, was != isolated);
            begun += !was && isolated;
            ended += was && !isolated;
        }
    }
    EXPECT_GT(begun, 500);
    EXPECT_GT(ended, 300);
    EXPECT_GT(late, 50);
}

ProbeResult passes(TimePoint began) { return {.passed = true, .reason = Reason::passed, .began = began}; }
ProbeResult fails(TimePoint began) { return {.reason = Reason::connect_timeout, .began = began}; }

/// An origin with two addresses that was up for a while.
struct Origin {
    OriginMonitor monitor{Thresholds{}};
    Failback failback{FailbackSettings{}};
    Before before;
    TimePoint now = start;

    Origin() {
        monitor.set_addresses({"a", "b"}, now);
        for (const char* address : {"a", "b"}) monitor.on_probe(address, passes(now), now);
        look();
    }
    void look() { failback.look(monitor.state(), 0, 0, now); }
    void fail(TimePoint last_answer) {
        now += 1s;
        before.note(monitor, failback, last_answer, now);
        for (const char* address : {"a", "b"}) monitor.on_probe(address, fails(now), now);
        monitor.on_passive({}, Passive::connect_failed, Reason::connect_timeout, now, 0.5);
        look();
    }
    bool take_back(TimePoint last_answer) { return before.take_back(monitor, failback, last_answer, now); }
};

TEST(Before, WhatOneFailureOfOursDidIsTakenBackWithNoTrace) {
    Origin origin;
    const auto good = origin.monitor.state();
    for (int i = 0; i < 4; ++i) origin.fail(start);
    EXPECT_EQ(origin.monitor.state().verdict, Verdict::down);
    EXPECT_TRUE(origin.monitor.state().ejected);
    EXPECT_TRUE(origin.take_back(start));
    EXPECT_EQ(origin.monitor.state(), good) << "with its reason and its time";
    EXPECT_EQ(origin.monitor.address_state("b").verdict, Verdict::up);
    origin.now += 1s;
    origin.look();
    EXPECT_EQ(origin.failback.share(), Failback::everyone) << "nothing is held back";
    EXPECT_EQ(origin.failback.penalty(origin.now), 0);
    // And no half-counted row of failures is left: it takes as many as ever.
    for (int i = 0; i < 2; ++i) origin.fail(origin.now);
    EXPECT_EQ(origin.monitor.state().verdict, Verdict::up);
    EXPECT_FALSE(origin.monitor.state().ejected);
}

TEST(Before, WhatFailedByItselfBeforeStays) {
    Origin origin;
    for (int i = 0; i < 4; ++i) origin.fail(start);
    const auto dead = origin.monitor.state();
    const TimePoint answer = origin.now + 10s;  // of another origin, after which the edge was cut off
    origin.now = answer;
    for (int i = 0; i < 4; ++i) origin.fail(answer);
    EXPECT_FALSE(origin.take_back(answer)) << "it was down already";
    EXPECT_EQ(origin.monitor.state().verdict, dead.verdict);
    EXPECT_EQ(origin.monitor.state().since, dead.since);
}

TEST(Before, AnAnswerThatIsHeardOfLateDoesNotHideTheBeginning) {
    Origin origin;
    for (int i = 0; i < 3; ++i) origin.fail(origin.now);  // "answers" are read a second behind, with each failure
    const TimePoint heard = origin.now;
    EXPECT_TRUE(origin.take_back(heard - 1s));
    EXPECT_EQ(origin.monitor.state().verdict, Verdict::up);
}

TEST(Before, WhatDoesNotComeFromFailuresIsKept) {
    Origin origin;
    for (int i = 0; i < 4; ++i) origin.fail(start);
    origin.monitor.set_override(Override::drain, origin.now);
    origin.monitor.on_agent(Agent::degraded, 60s, origin.now);
    origin.monitor.set_addresses({"b", "c"}, origin.now);
    EXPECT_TRUE(origin.take_back(start));
    const auto state = origin.monitor.state();
    EXPECT_TRUE(state.draining);
    EXPECT_EQ(state.agent, Agent::degraded);
    EXPECT_EQ(origin.monitor.address_state("b").verdict, Verdict::up);
    EXPECT_EQ(origin.monitor.address_state("c").verdict, Verdict::unknown);
    origin.monitor.set_override(Override::none, origin.now);
    EXPECT_NE(origin.monitor.state().verdict, Verdict::down) << "the new address counts as the origin did before";
}

TEST(Before, ARampGoesOnWhereItStood) {
    Origin origin;
    for (int i = 0; i < 4; ++i) origin.fail(start);
    origin.now += 120s;
    for (int i = 0; i < 3; ++i) {
        origin.now += 1s;
        for (const char* address : {"a", "b"}) origin.monitor.on_probe(address, passes(origin.now), origin.now);
        origin.failback.on_probe(true, origin.now);
        origin.look();
    }
    ASSERT_TRUE(origin.failback.holding());
    while (origin.failback.holding()) {
        origin.now += 1s;
        origin.look();
    }
    for (int i = 0; i < 15; ++i) {
        origin.now += 1s;
        origin.look();
    }
    const auto quarter = origin.failback.share();
    EXPECT_NEAR(quarter, Failback::everyone / 4, Failback::everyone / 20);
    const TimePoint answer = origin.now;
    for (int i = 0; i < 4; ++i) origin.fail(answer);
    origin.take_back(answer);
    origin.failback.stand_still(300s);
    origin.now += 300s;
    origin.look();
    EXPECT_NEAR(origin.failback.share(), quarter, Failback::everyone / 10) << "not a stampede of everybody";
    EXPECT_LT(origin.failback.share(), Failback::everyone / 2);
}

}  // namespace
}  // namespace nearhop::health
