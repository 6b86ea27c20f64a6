#include "health/schedule.h"

#include <gtest/gtest.h>

namespace nearhop::health {
namespace {

using namespace std::chrono_literals;

const Intervals intervals{5s, 1s, 7s, 20};
const TimePoint t0{1000s};

State state(Verdict verdict, bool changing = false) {
    State made;
    made.verdict = verdict;
    made.changing = changing;
    return made;
}

TEST(Schedule, SpreadsTheFirstProbesOverTheSteadyInterval) {
    EXPECT_EQ(first_delay(intervals, 0), 0ms);
    EXPECT_EQ(first_delay(intervals, 0.5), 2500ms);
    EXPECT_LT(first_delay(intervals, 0.999999), 5s);
}

TEST(Schedule, TakesTheIntervalFromTheStateAndSpreadsItBothWays) {
    struct Row {
        State state;
        double dice;
        milliseconds after;
    };
    const Row rows[] = {
        {state(Verdict::unknown), 0.5, 5000ms},  {state(Verdict::up), 0.5, 5000ms},
        {state(Verdict::up), 0, 4000ms},         {state(Verdict::up), 0.75, 5500ms},
        {state(Verdict::degraded), 0.5, 5000ms}, {state(Verdict::up, true), 0.5, 1000ms},
        {state(Verdict::up, true), 0, 800ms},    {state(Verdict::down), 0.5, 7000ms},
        {state(Verdict::down), 0, 5600ms},       {state(Verdict::down, true), 0.5, 1000ms},
    };
    for (const auto& row : rows)
        EXPECT_NEAR(
            std::chrono::duration<double>(next_probe(intervals, row.state, t0, t0 + 10ms, row.dice) - t0).count(),
            std::chrono::duration<double>(row.after).count(), 1e-6)
            << name(row.state.verdict) << row.state.changing << ' ' << row.dice;
    auto still = intervals;
    still.jitter = 0;
    EXPECT_EQ(next_probe(still, state(Verdict::up), t0, t0, 0.9), t0 + 5s);
}

TEST(Schedule, StartsNoProbeBeforeTheEndOfTheLast) {
    EXPECT_EQ(next_probe(intervals, state(Verdict::up, true), t0, t0 + 2s, 0.5), t0 + 2s + 1ms);
    EXPECT_EQ(next_probe(intervals, state(Verdict::up, true), t0, t0 + 1s, 0.5), t0 + 1s + 1ms);
    EXPECT_EQ(next_probe({0ms, 0ms, 0ms, 0}, state(Verdict::up), t0, t0, 0.5), t0 + 1ms);
}

TEST(Schedule, DoesNotCatchUpAfterAStall) {
    // The edge slept for a minute: the probe that was due in between starts once, the next a whole interval later.
    const auto woke = t0 + 60s;
    int starts = 0;
    auto due = next_probe(intervals, state(Verdict::up), t0, t0 + 10ms, 0.5);
    for (auto now = woke; now < woke + 5s; now += 1ms) {
        if (now < due) continue;
        ++starts;
        due = next_probe(intervals, state(Verdict::up), now, now + 10ms, 0.5);
    }
    EXPECT_EQ(starts, 1);
}

}  // namespace
}  // namespace nearhop::health
