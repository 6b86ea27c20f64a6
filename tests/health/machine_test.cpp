#include "health/verdict.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nearhop::health {
namespace {

using namespace std::chrono_literals;

const TimePoint t0{1000s};

ProbeResult pass(TimePoint began) { return {true, Reason::passed, 200, began}; }
ProbeResult fail(TimePoint began, Reason reason = Reason::refused) { return {false, reason, 0, began}; }

/// A machine that was found up at t0.
Machine up_machine(Thresholds thresholds = {}) {
    Machine machine{thresholds};
    machine.on_probe(pass(t0), t0);
    return machine;
}

Machine ejected_machine(Thresholds thresholds = {}) {
    auto machine = up_machine(thresholds);
    for (int i = 0; i < 3; ++i) machine.on_passive(Passive::connect_failed, Reason::refused, t0, 0.5);
    return machine;
}

TEST(Machine, CountsProbesSoThatSporadicFailuresAddUp) {
    struct Row {
        std::string_view results;   // P passed, F failed
        std::string_view verdicts;  // after each: U up, D down; lower case: a counter runs
    };
    const Row rows[] = {
        {"P", "U"},                  // the first result decides alone
        {"F", "D"},                  //
        {"PFFF", "UuuD"},            // fall
        {"PFPFPF", "UuuuuD"},        // single passes between failures do not help
        {"PFPPF", "Uuuuu"},          //
        {"PFFPPPFF", "UuuuuUuu"},    // rise passes in a row do
        {"PFFPPFPPPFFF", "UuuuuD"},  // two and two are not three
        {"FPPP", "DddU"},            // rise
        {"FPPFPPP", "DddDddU"},      // a failure starts the row again
        {"FPPPFFF", "DddUuuD"},      // counters start from zero after a change
    };
    for (const auto& row : rows) {
        Machine machine{Thresholds{}};
        std::string seen;
        auto now = t0;
        for (const char result : row.results.substr(0, row.verdicts.size())) {
            now += 1s;
            const auto before = machine.state().verdict;
            const bool changed = machine.on_probe(result == 'P' ? pass(now) : fail(now), now);
            const auto& state = machine.state();
            EXPECT_EQ(changed, before != state.verdict) << row.results;
            const char letter = state.verdict == Verdict::up ? 'U' : 'D';
            seen += static_cast<char>(state.changing ? letter - 'A' + 'a' : letter);
        }
        EXPECT_EQ(seen, row.verdicts) << row.results;
    }
}

TEST(Machine, CarriesReasonAndTimeOfTheLastChange) {
    Machine machine{Thresholds{}};
    EXPECT_EQ(machine.state(), State{});
    machine.on_probe(pass(t0), t0 + 1s);
    EXPECT_EQ(machine.state().reason, Reason::passed);
    EXPECT_EQ(machine.state().since, t0 + 1s);
    machine.on_probe(fail(t0), t0 + 2s);
    machine.on_probe(fail(t0), t0 + 3s);
    EXPECT_EQ(machine.state().since, t0 + 1s);
    machine.on_probe({false, Reason::status, 503, t0}, t0 + 4s);
    EXPECT_EQ(machine.state().reason, Reason::status);
    EXPECT_EQ(machine.state().status, 503u);
    EXPECT_EQ(machine.state().since, t0 + 4s);

    Machine expired{Thresholds{}};
    expired.on_probe({false, Reason::tls_certificate, 0, t0, CertificateProblem::expired}, t0);
    EXPECT_EQ(expired.state().certificate, CertificateProblem::expired);
}

TEST(Machine, EjectsOnFailuresInARowThatOnlyAnOkEnds) {
    struct Row {
        std::string_view results;  // c connect failed, s answered and failed, o ok
        bool ejected;
    };
    const Row rows[] = {
        {"cc", false},     {"ccc", true},   {"ccocc", false}, {"ccoccc", true}, {"ssss", false},    {"sssss", true},
        {"ssssos", false}, {"cscsc", true}, {"sscss", false}, {"sscsss", true}, {"ccsssso", false},
    };
    for (const auto& row : rows) {
        auto machine = up_machine();
        bool changed = false;
        for (const char result : row.results) {
            EXPECT_FALSE(changed) << row.results << ": ejected before the last result";
            changed = result == 'c'   ? machine.on_passive(Passive::connect_failed, Reason::refused, t0 + 1s, 0.5)
                      : result == 's' ? machine.on_passive(Passive::answered_failed, Reason::status, t0 + 1s, 0.5)
                                      : machine.on_passive(Passive::ok, Reason::none, t0 + 1s, 0.5);
        }
        EXPECT_EQ(changed, row.ejected) << row.results;
        EXPECT_EQ(machine.state().ejected, row.ejected) << row.results;
        EXPECT_EQ(machine.state().eligible(), !row.ejected) << row.results;
        EXPECT_EQ(machine.state().verdict, Verdict::up) << "an ejection is a mark beside the verdict";
    }
}

TEST(Machine, EjectsOnTheShareOfFailuresInTheWindow) {
    struct Step {
        milliseconds at;
        std::uint64_t ok, failed;
        bool ejects;
    };
    struct Row {
        const char* what;
        std::vector<Step> steps;
    };
    const Row rows[] = {
        {"half of twenty", {{0s, 10, 10, true}}},
        {"one short of the minimum", {{0s, 9, 10, false}}},
        {"all of nineteen, then one ok", {{0s, 0, 19, false}, {1s, 1, 0, true}}},
        {"just under half", {{0s, 101, 100, false}, {1s, 0, 1, true}}},
        {"no traffic at all", {{0s, 0, 0, false}}},
        {"spread over the window", {{0s, 0, 10, false}, {9900ms, 10, 0, true}}},
        {"the first half has left the window", {{0s, 0, 10, false}, {10s, 10, 0, false}, {11s, 0, 10, true}}},
        {"old successes have left the window", {{0s, 1000, 0, false}, {10s, 0, 19, false}, {12s, 0, 1, true}}},
        {"the ring has gone round", {{0s, 0, 19, false}, {64s, 0, 1, false}, {128s, 0, 1, false}, {500s, 0, 1, false}}},
        {"a late report joins the newest second", {{5s, 0, 10, false}, {4s, 0, 10, true}}},
    };
    for (const auto& row : rows) {
        auto machine = up_machine();
        for (const auto& step : row.steps)
            EXPECT_EQ(machine.on_traffic(step.ok, step.failed, t0 + step.at, 0.5), step.ejects) << row.what;
        if (machine.state().ejected) {
            EXPECT_EQ(machine.state().ejected_for, Reason::ratio);
        }
    }
}

TEST(Machine, EjectsNobodyWithoutAFailureHoweverLowTheShare) {
    Thresholds thresholds;
    thresholds.ratio_percent = thresholds.ratio_minimum = 0;
    auto machine = up_machine(thresholds);
    EXPECT_FALSE(machine.on_traffic(0, 0, t0, 0.5));
    EXPECT_FALSE(machine.on_traffic(10, 0, t0, 0.5));
}

TEST(Machine, EndsNoRowOfFailuresByTrafficCounts) {
    auto machine = up_machine();
    machine.on_passive(Passive::connect_failed, Reason::refused, t0, 0.5);
    machine.on_passive(Passive::connect_failed, Reason::refused, t0, 0.5);
    machine.on_traffic(100, 2, t0, 0.5);
    EXPECT_TRUE(machine.on_passive(Passive::connect_failed, Reason::refused, t0, 0.5));
}

TEST(Machine, EjectsNobodyWherePassiveHealthIsOff) {
    Thresholds thresholds;
    thresholds.passive = false;
    auto machine = up_machine(thresholds);
    for (int i = 0; i < 50; ++i) machine.on_passive(Passive::connect_failed, Reason::refused, t0, 0.5);
    machine.on_traffic(0, 1000, t0, 0.5);
    EXPECT_FALSE(machine.state().ejected);
}

TEST(Machine, EjectsForAsLongAsTheOutageHasLastedWithTenPercentJitter) {
    struct Row {
        milliseconds outage;  ///< from the first ejection to the trial that fails; 0: the first one itself
        double dice;
        milliseconds lasts;
    };
    const Row rows[] = {
        {0s, 0.5, 5s}, {0s, 0, 4500ms},   {0s, 0.75, 5250ms}, {5s, 0.5, 5s},   {6s, 0.5, 6s},     {60s, 0.5, 60s},
        {60s, 0, 54s}, {299s, 0.5, 299s}, {299s, 0.99, 300s}, {301s, 0, 270s}, {301s, 0.5, 285s}, {3600s, 0, 270s},
    };
    for (const auto& row : rows) {
        auto machine = up_machine();
        // The first two failed a while ago, and nobody has asked since: that makes no outage.
        for (const auto at : {t0 - 15min, t0 - 15min, t0})
            machine.on_passive(Passive::connect_failed, Reason::refused, at, row.outage == 0s ? row.dice : 0);
        ASSERT_TRUE(machine.state().ejected);
        const auto now = t0 + row.outage;
        if (row.outage != 0s) {
            for (int i = 0; i < 3; ++i) machine.on_probe(pass(now), now);
            ASSERT_TRUE(machine.state().on_trial);
            machine.on_passive(Passive::connect_failed, Reason::refused, now, row.dice);
        }
        EXPECT_NEAR(std::chrono::duration<double>(machine.state().ejected_until - now).count(),
                    std::chrono::duration<double>(row.lasts).count(), 0.0011)
            << row.outage.count() << ' ' << row.dice;
    }
}

TEST(Machine, ReturnsAfterTheTimeIsOverAndEnoughProbesThatBeganLaterPassed) {
    struct Step {
        milliseconds began, now;
        bool passed;
        bool returns;
    };
    struct Row {
        const char* what;
        std::vector<Step> steps;
    };
    const Row rows[] = {
        {"three passes after the time", {{6s, 6s, true, false}, {7s, 7s, true, false}, {8s, 8s, true, true}}},
        {"passes during the ejection count, the time still holds",
         {{1s, 1s, true, false},
          {2s, 2s, true, false},
          {3s, 3s, true, false},
          {4s, 4999ms, true, false},
          {5s, 5s, true, true}}},
        {"begun at or before the ejection",
         {{-1s, 11s, true, false}, {0s, 11s, true, false}, {0s, 11s, true, false}, {11s, 12s, true, false}}},
        {"a failure starts the row again",
         {{1s, 1s, true, false},
          {2s, 2s, true, false},
          {3s, 3s, false, false},
          {6s, 6s, true, false},
          {7s, 7s, true, false},
          {8s, 8s, true, true}}},
        {"a failure never returns",
         {{1s, 1s, true, false}, {2s, 2s, true, false}, {3s, 3s, true, false}, {11s, 11s, false, false}}},
    };
    for (const auto& row : rows) {
        auto machine = ejected_machine();
        for (const auto& step : row.steps) {
            ProbeResult result{step.passed, step.passed ? Reason::passed : Reason::refused, 0, t0 + step.began};
            EXPECT_EQ(machine.on_probe(result, t0 + step.now), step.returns) << row.what << ' ' << step.now.count();
            EXPECT_EQ(machine.state().ejected, !step.returns) << row.what << ' ' << step.now.count();
        }
    }
}

/// Ejected at t0, and back at t0 + 20 s.
Machine machine_on_trial(Thresholds thresholds = {}) {
    auto machine = ejected_machine(thresholds);
    for (unsigned i = 0; i < thresholds.rise; ++i) machine.on_probe(pass(t0 + 20s), t0 + 20s);
    return machine;
}

TEST(Machine, IsOnTrialAfterAnEjectionUntilItProvesItself) {
    struct Row {
        std::string_view results;  // o ok, t trial passed, c connect failed, s status failed, P probe passed 5 s later
        std::string_view states;   // after each: T on trial, E ejected, - neither
    };
    const Row rows[] = {
        {"c", "E"},          // the first failure ejects again
        {"s", "E"},          //
        {"ttt", "TT-"},      // as many as probes need prove it
        {"tts", "TTE"},      // one too few
        {"ooo", "TTT"},      // old requests that end well prove nothing
        {"tttss", "TT---"},  // then rows count again
        {"P", "-"},          // nothing tried it, nothing failed for the time of an ejection
        {"tPs", "T--"},      //
    };
    for (const auto& row : rows) {
        auto machine = machine_on_trial();
        ASSERT_TRUE(machine.state().on_trial);
        auto now = t0 + 20s;
        std::string seen;
        for (const char result : row.results) {
            const bool trial = machine.state().on_trial;
            bool changed = false;
            switch (result) {
                case 'P':
                    now += 5s;
                    changed = machine.on_probe(pass(now), now);
                    break;
                case 'c': changed = machine.on_passive(Passive::connect_failed, Reason::refused, now, 0.5); break;
                case 's': changed = machine.on_passive(Passive::answered_failed, Reason::status, now, 0.5); break;
                default:
                    changed = machine.on_passive(result == 't' ? Passive::trial_passed : Passive::ok, Reason::passed,
                                                 now, 0.5);
            }
            EXPECT_EQ(changed, trial != machine.state().on_trial) << row.results;
            seen += machine.state().ejected ? 'E' : machine.state().on_trial ? 'T' : '-';
        }
        EXPECT_EQ(seen, row.states) << row.results;
    }
}

TEST(Machine, AnOutageGoesOnOverTrialsThatFail) {
    auto machine = machine_on_trial();
    machine.on_passive(Passive::answered_failed, Reason::status, t0 + 21s, 0.5);
    EXPECT_EQ(machine.state().ejected_until, t0 + 21s + 21s) << "21 s since its first failure";
    EXPECT_EQ(machine.state().ejections, 2u);
    for (int i = 0; i < 3; ++i) machine.on_probe(pass(t0 + 42s), t0 + 42s);
    for (int i = 0; i < 3; ++i) machine.on_passive(Passive::trial_passed, Reason::passed, t0 + 43s, 0.5);
    EXPECT_EQ(machine.state().ejections, 0u);
    for (int i = 0; i < 3; ++i) machine.on_passive(Passive::connect_failed, Reason::refused, t0 + 44s, 0.5);
    EXPECT_EQ(machine.state().ejected_until, t0 + 44s + 5s) << "a new one";
    EXPECT_EQ(machine.state().ejections, 1u);
}

/// With probes that pass every second but tell nothing: what the ejections alone cost after the end of the fault.
TEST(Machine, IsBackWithinTheLengthOfItsOutageAgainHoweverOftenItComes) {
    struct Row {
        std::chrono::seconds fault;
        unsigned faults;
        std::chrono::seconds most;  ///< from the end of a fault to the return
    };
    const Row rows[] = {{2s, 20, 8s}, {6s, 20, 10s}, {60s, 5, 70s}, {1000s, 1, 340s}};
    for (const auto& row : rows) {
        for (const double dice : {0.0, 0.5, 0.999}) {
            auto machine = up_machine();
            auto now = t0;
            for (unsigned fault = 0; fault < row.faults; ++fault) {
                now += 30s;
                const auto began = now, end = now + row.fault;
                for (; now < end || machine.state().ejected; now += 100ms) {
                    if ((now - began) % 1s == 0s) machine.on_probe(pass(now), now);
                    if (machine.state().ejected) continue;
                    const bool good = now >= end;
                    machine.on_passive(good ? Passive::trial_passed : Passive::answered_failed, Reason::status, now,
                                       dice);
                }
                EXPECT_LE(now - end, row.most) << row.fault.count() << " s, number " << fault << ", dice " << dice;
                for (int i = 0; i < 3; ++i) machine.on_passive(Passive::trial_passed, Reason::passed, now, dice);
                ASSERT_FALSE(machine.state().on_trial);
            }
        }
    }
}

TEST(Machine, ATrialThatNobodyMayMakeYetIsPutOff) {
    auto machine = machine_on_trial();
    for (auto now = t0 + 20s; now < t0 + 60s; now += 1s) {
        machine.put_off_trial(now);
        EXPECT_FALSE(machine.on_probe(pass(now), now));
    }
    EXPECT_TRUE(machine.state().on_trial);
    EXPECT_FALSE(machine.on_probe(pass(t0 + 63s), t0 + 63s));
    EXPECT_TRUE(machine.on_probe(pass(t0 + 64s), t0 + 64s));
}

TEST(Machine, AFailureOfARequestFromBeforeItsReturnIsNoNews) {
    auto machine = up_machine();
    EXPECT_TRUE(machine.state().is_news(t0 - 900s)) << "it never was out";
    machine = machine_on_trial();
    EXPECT_FALSE(machine.state().is_news(t0 + 19s));
    EXPECT_TRUE(machine.state().is_news(t0 + 20s));
    for (int i = 0; i < 3; ++i) machine.on_probe(fail(t0 + 30s), t0 + 30s);
    EXPECT_TRUE(machine.state().is_news(t0 + 25s));
    for (int i = 0; i < 3; ++i) machine.on_probe(pass(t0 + 40s), t0 + 40s);
    EXPECT_FALSE(machine.state().is_news(t0 + 39s)) << "nor after it was down";
}

TEST(Machine, IgnoresTrafficWhileEjected) {
    auto machine = ejected_machine();
    const auto before = machine.state();
    machine.on_passive(Passive::ok, Reason::none, t0 + 20s, 0.5);
    for (int i = 0; i < 10; ++i) machine.on_passive(Passive::connect_failed, Reason::refused, t0 + 20s, 0.5);
    machine.on_traffic(0, 100, t0 + 20s, 0.5);
    EXPECT_EQ(machine.state(), before);
    for (int i = 0; i < 3; ++i) machine.on_probe(pass(t0 + 20s), t0 + 20s);
    EXPECT_FALSE(machine.state().ejected);
    machine.on_probe(pass(t0 + 30s), t0 + 30s);  // nor is it on trial any more
    EXPECT_FALSE(machine.on_passive(Passive::connect_failed, Reason::refused, t0 + 31s, 0.5))
        << "the row starts at zero";
    EXPECT_FALSE(machine.on_traffic(0, 19, t0 + 31s, 0.5)) << "and so does the window";
}

TEST(Machine, StaysEjectedWithoutActiveProbes) {
    auto machine = ejected_machine();
    machine.on_passive(Passive::ok, Reason::none, t0 + 24h, 0.5);
    EXPECT_TRUE(machine.state().ejected);
}

TEST(Machine, ProbesADeadOriginAtTheDownIntervalEvenWhileEjected) {
    auto machine = ejected_machine();
    EXPECT_TRUE(machine.state().changing);
    for (int i = 0; i < 3; ++i) machine.on_probe(fail(t0 + 1s), t0 + 1s);
    EXPECT_EQ(machine.state().verdict, Verdict::down);
    EXPECT_TRUE(machine.state().ejected);
    EXPECT_FALSE(machine.state().changing);
    machine.on_probe(pass(t0 + 20s), t0 + 20s);
    EXPECT_TRUE(machine.state().changing);
}

TEST(Machine, KeepsSayingWhyItIsEjectedWhenTheVerdictMoves) {
    auto machine = ejected_machine();
    for (int i = 0; i < 3; ++i) machine.on_probe(fail(t0 + 1s, Reason::head_timeout), t0 + 1s);
    EXPECT_EQ(machine.state().reason, Reason::head_timeout);
    EXPECT_EQ(machine.state().ejected_for, Reason::refused);
    for (int i = 0; i < 3; ++i) machine.on_probe(pass(t0 + 20s), t0 + 20s);
    EXPECT_EQ(machine.state().reason, Reason::passed);
    EXPECT_EQ(machine.state().ejected_for, Reason::none);
    EXPECT_TRUE(machine.state().eligible());
}

TEST(Machine, KeepsStateAndCountersOverNewThresholds) {
    auto machine = ejected_machine();
    for (int i = 0; i < 2; ++i) machine.on_probe(fail(t0 + 1s), t0 + 1s);
    const auto before = machine.state();
    Thresholds thresholds;
    thresholds.fall = 5;
    machine.set_thresholds(thresholds);
    EXPECT_EQ(machine.state(), before);
    EXPECT_FALSE(machine.on_probe(fail(t0 + 1s), t0 + 1s));
    thresholds.fall = 4;
    machine.set_thresholds(thresholds);
    EXPECT_TRUE(machine.on_probe(fail(t0 + 1s), t0 + 1s));
}

TEST(Combine, TakesTheBestThatAnAddressOffers) {
    using enum Verdict;
    struct Row {
        std::vector<Verdict> verdicts;
        Verdict combined;
    };
    const Row rows[] = {
        {{}, unknown},
        {{down}, down},
        {{down, down}, down},
        {{down, unknown}, unknown},
        {{down, degraded}, degraded},
        {{unknown, degraded}, degraded},
        {{down, unknown, degraded, up}, up},
    };
    for (const auto& row : rows) {
        Combine combine;
        for (const auto verdict : row.verdicts) combine.add(verdict);
        EXPECT_EQ(combine.verdict(), row.combined);
    }
}

}  // namespace
}  // namespace nearhop::health
