#include "tests/proxy/exchange/course_world.h"

namespace nearhop::exchange {
namespace {

using namespace test;

TEST(Course, WithoutFailoverNothingMoves) {
    World world;
    conf::Failover off;
    off.enabled = false;
    const Row row{"", get, {unsent(origin_refused)}, ""};
    EXPECT_EQ(course_of(world, row, off), "ask 0, stop origin_refused (failover_disabled)");
}

TEST(Course, AWaitBetweenMovesHasABound) {
    World world;
    conf::Failover failover;
    failover.backoff = std::chrono::milliseconds{100};
    failover.backoff_max = std::chrono::milliseconds{40};
    const Row row{"", get, {unsent(origin_refused), unsent(origin_refused)}, ""};
    EXPECT_EQ(course_of(world, row, failover), "ask 0, ask 1, ask 2 after 40ms");
}

TEST(Course, AnOrderForbidsToAskTheSameOriginAgain) {
    for (const auto& [facts, wanted] : {std::pair{get, "ask 1"}, std::pair{keyed, "stop origin_stale (key_pinned)"}}) {
        World world;
        const conf::Failover failover;
        Course course{world};
        const auto step = course.begin(facts, failover, world.decision);
        world.ordered_out = only(0);
        EXPECT_EQ(text(attempt(course, step, sent(origin_stale))), wanted);
    }
}

// Where a key is known already.

TEST(Course, AKnownKeyGoesToItsOriginWhateverItsVerdictAndNowhereElse) {
    World world;
    world.origins[3].reason = Reason::down;
    world.tie = only(3);
    const conf::Failover failover;
    Course course{world};
    auto step = course.begin(keyed, failover, world.decision);
    EXPECT_EQ(text(step), "ask 3");
    EXPECT_EQ(step.candidate.reason, Reason::key_pinned);
    EXPECT_EQ(text(attempt(course, step, unsent(origin_refused))), "stop key_pinned (key_pinned)");
}

TEST(Course, AKnownKeyGoesNowhereThatIsForbiddenOrOrderedOutOrGone) {
    const conf::Failover failover;
    for (const char* why : {"forbidden", "ordered out", "no origin of the site"}) {
        World world;
        world.tie = only(2);
        if (why == std::string{"forbidden"}) world.origins[2].reason = Reason::forbidden_route;
        if (why == std::string{"ordered out"}) world.ordered_out = only(2);
        if (why == std::string{"no origin of the site"}) world.tie = OriginSet{};
        world.decide({});
        Course course{world};
        EXPECT_EQ(text(course.begin(keyed, failover, world.decision)), "stop key_pinned") << why;
    }
}

TEST(Course, AFasterRequestWithTheSameKeyIsFollowed) {
    World world;
    const conf::Failover failover;
    Course course{world};
    const auto step = course.begin(keyed, failover, world.decision);
    course.asks();
    world.tie = only(1);
    EXPECT_FALSE(course.sends(step.candidate));
    EXPECT_EQ(text(course.outrun()), "ask 1");
}

TEST(Course, WhatMayHaveActedIsAskedAgainAlthoughTheKeyWasForgottenAndClaimedElsewhere) {
    World world;
    const conf::Failover failover;
    Course course{world};
    auto step = attempt(course, course.begin(keyed, failover, world.decision), sent(origin_reset));
    world.tie = only(1);
    EXPECT_EQ(text(step), "again 0");
    course.asks();
    EXPECT_TRUE(course.sends(step.candidate));
    EXPECT_EQ(text(course.ended(unsent(origin_refused))), "stop key_pinned (key_pinned)");
}

// Capacity.

TEST(Course, WhereThereIsNoRoomOthersAreAskedAndTheFirstIsWaitedFor) {
    World world;
    world.origins.resize(2);
    world.decide({});
    const conf::Failover failover;
    Course course{world};
    EXPECT_EQ(text(course.begin(get, failover, world.decision)), "ask 0");
    EXPECT_EQ(text(course.no_room()), "ask 1");
    EXPECT_EQ(text(course.no_room()), "ask 0");
    EXPECT_EQ(text(course.no_room()), "queue 0");
    EXPECT_EQ(text(course.admitted()), "ask 0");
    EXPECT_EQ(course.attempts(), 0u);
}

TEST(Course, AnOrderThatCameInTheQueueCounts) {
    World world;
    world.origins.resize(1);
    world.decide({});
    const conf::Failover failover;
    Course course{world};
    course.begin(get, failover, world.decision);
    course.no_room();
    EXPECT_EQ(text(course.no_room()), "queue 0");
    world.ordered_out = only(0);
    EXPECT_EQ(text(course.admitted()), "stop no_origin");
}

TEST(Course, ATiedRequestWaitsAtItsOwnOrigin) {
    World world;
    world.tie = only(1);
    const conf::Failover failover;
    Course course{world};
    EXPECT_EQ(text(course.begin(keyed, failover, world.decision)), "ask 1");
    EXPECT_EQ(text(course.no_room()), "ask 1");
    EXPECT_EQ(text(course.no_room()), "queue 1");
}

// Leaving an origin that may still answer.

TEST(Course, MayLeaveWhereAMoveWouldBeAllowed) {
    struct {
        const char* what;
        Course::Facts facts;
        bool connected = false, body_held = true;
        unsigned tokens = 10;
        std::size_t origins = 4;
        bool may = true;
        bool tied = false;
    } rows[] = {
        {.what = "a dial", .facts = post},
        {.what = "a dial without tokens", .facts = get, .tokens = 0},
        {.what = "a dial, tied", .facts = keyed, .may = false, .tied = true},
        {.what = "no other origin", .facts = get, .origins = 1, .may = false},
        {.what = "sent", .facts = get, .connected = true},
        {.what = "sent, PUT", .facts = put, .connected = true},
        {.what = "sent, POST", .facts = post, .connected = true, .may = false},
        {.what = "sent, with key", .facts = keyed, .connected = true, .may = false},
        {.what = "sent, body gone", .facts = put, .connected = true, .body_held = false, .may = false},
        {.what = "sent, no token", .facts = get, .connected = true, .tokens = 0, .may = false},
    };
    const conf::Failover failover;
    for (const auto& row : rows) {
        World world;
        world.origins.resize(row.origins);
        world.tokens = row.tokens;
        if (row.tied) world.tie = only(0);
        world.decide({});
        Course course{world};
        const auto step = course.begin(row.facts, failover, world.decision);
        course.asks();
        if (row.connected) course.sends(step.candidate);
        EXPECT_EQ(course.may_leave(row.connected, row.body_held), row.may) << row.what;
    }
}

TEST(Course, KnowsWhetherAnotherOriginWouldServeWereItNotForTheKey) {
    for (const std::size_t origins : {1u, 2u}) {
        World world;
        world.origins.resize(origins);
        world.tie = only(0);
        const conf::Failover failover;
        Course course{world};
        course.begin(keyed, failover, world.decide({}));
        EXPECT_EQ(course.has_other(), origins == 2);
    }
}

TEST(Course, LeavesNoThirdOriginThatMayHaveTheRequest) {
    World world;
    const conf::Failover failover;
    Course course{world};
    auto step = course.begin(get, failover, world.decision);
    course.asks();
    course.sends(step.candidate);
    EXPECT_TRUE(course.may_leave(true, true));
    step = course.ended(sent(origin_stalled));
    course.asks();
    EXPECT_TRUE(course.may_leave(false, true)) << "two were tried, a third may be dialled";
    course.sends(step.candidate);
    EXPECT_FALSE(course.may_leave(true, true));
    step = course.ended(sent(origin_stale));
    EXPECT_EQ(text(step), "again 1");
    course.asks();
    EXPECT_FALSE(course.may_leave(false, true)) << "its second dial has no other place to go to either";
}

}  // namespace
}  // namespace nearhop::exchange
