#include "tests/proxy/exchange/course_world.h"

namespace nearhop::exchange {
namespace {

using namespace test;

constexpr Course::Facts hedged{.method = safe, .hedge = {conf::Hedge::Kind::after, std::chrono::milliseconds{50}}};

TEST(Course, HedgesOnceToTheNextSoundCandidateForAToken) {
    struct {
        const char* what;
        Course::Facts facts = hedged;
        Reason second = Reason::next_nearest;
        unsigned tokens = 1;
        unsigned sent_candidates = 2;
        bool hedges = true;
    } rows[] = {
        {.what = "as configured"},
        {.what = "not configured", .facts = get, .hedges = false},
        {.what = "no token", .tokens = 0, .hedges = false},
        {.what = "one origin at most", .sent_candidates = 1, .hedges = false},
        {.what = "degraded", .second = Reason::degraded},
        {.what = "passed over", .second = Reason::local_skip, .hedges = false},
        {.what = "silent", .second = Reason::stalled, .hedges = false},
        {.what = "on trial", .second = Reason::on_trial, .hedges = false},
        {.what = "full", .second = Reason::full, .hedges = false},
        {.what = "ejected", .second = Reason::last_eligible, .hedges = false},
        {.what = "down", .second = Reason::all_down_open, .hedges = false},
    };
    for (const auto& row : rows) {
        World world;
        world.origins[1].reason = row.second;
        world.tokens = row.tokens;
        conf::Failover failover;
        failover.sent_candidates = row.sent_candidates;
        Course course{world};
        const auto step = course.begin(row.facts, failover, world.decision);
        course.asks();
        course.sends(step.candidate);
        const auto hedge = course.may_hedge() ? course.hedge() : std::nullopt;
        EXPECT_EQ(hedge.has_value(), row.hedges) << row.what;
        EXPECT_FALSE(course.may_hedge() && row.facts.hedge.kind != conf::Hedge::Kind::off) << row.what;
        if (!hedge) continue;
        EXPECT_EQ(hedge->id, 1) << row.what;
        course.hedge_begins(*hedge);
        EXPECT_EQ(course.attempts(), 2u);
        EXPECT_EQ(world.tokens, 0u);
    }
}

TEST(Course, AHedgeIsTheMoveWhereTheFirstFailsAndNoneWhereItFailsItself) {
    for (const bool first_fails : {true, false}) {
        World world;
        const conf::Failover failover;
        Course course{world};
        const auto step = course.begin(hedged, failover, world.decision);
        course.asks();
        course.sends(step.candidate);
        const auto hedge = course.hedge();
        ASSERT_TRUE(hedge);
        course.hedge_begins(*hedge);
        course.sends(*hedge);
        if (first_fails)
            course.hedge_takes_over();
        else
            course.hedge_failed();
        EXPECT_EQ(course.has_moved(), first_fails);
        EXPECT_EQ(course.earlier().tried, only(first_fails ? 0 : 1));
        EXPECT_EQ(text(course.ended(sent(origin_reset))), "stop origin_reset (candidates_exhausted)");
    }
}

TEST(Course, AFixedHedgeCountsFromTheBeginningAndTheP95FromTheRequest) {
    World world;
    const conf::Failover failover;
    const auto asked = loop::TimePoint{} + std::chrono::hours{1};
    const auto sent_at = asked + std::chrono::milliseconds{30};
    HeadTimes heads;
    Course fixed{world};
    fixed.begin(hedged, failover, world.decision);
    EXPECT_EQ(fixed.hedge_due(heads, asked, sent_at), asked + std::chrono::milliseconds{50});
    Course by_times{world};
    by_times.begin({.method = safe, .hedge = {conf::Hedge::Kind::p95, {}}}, failover, world.decision);
    EXPECT_EQ(by_times.hedge_due(heads, asked, sent_at), loop::TimePoint::max()) << "too few answers";
    for (int i = 0; i < 200; ++i) heads.add(std::chrono::milliseconds{40});
    EXPECT_EQ(by_times.hedge_due(heads, asked, sent_at), sent_at + heads.p95());
    EXPECT_EQ(by_times.hedge_due(heads, asked, std::nullopt), asked + 3 * heads.p95());
    HeadTimes quick;
    for (int i = 0; i < 200; ++i) quick.add(std::chrono::microseconds{100});
    EXPECT_EQ(by_times.hedge_due(quick, asked, sent_at), sent_at + std::chrono::milliseconds{10});
}

}  // namespace
}  // namespace nearhop::exchange
