#include "proxy/steering/headroom.h"

#include "tests/proxy/steering/world.h"
#include "tests/support/rows.h"

#include <random>

namespace nearhop::steering::test {
namespace {

using namespace std::chrono_literals;

constexpr OriginId us = 0, eu = 1, ap = 2;

std::string text(const Loss& loss, const Table& table) {
    const auto number = [](double value) { return std::to_string(static_cast<int>(value + 0.5)); };
    std::string out = number(loss.load) + " of which " + number(loss.placed);
    for (const auto& [id, count] : loss.takes) out += ' ' + table.origins[id].name + ':' + number(count);
    return out;
}

struct Row {
    const char* name;
    std::vector<unsigned> capacities;
    std::vector<double> load;
    OriginId lost;
    std::string expect;
    bool survivable;
};
using tests::PrintTo;

class Losses : public testing::TestWithParam<Row> {};
TEST_P(Losses, GoToTheNextInOrderAsFarAsThereIsRoom) {
    World world{three};
    const auto& row = GetParam();
    const auto loss = lose(row.lost, *world.table, world.health, row.capacities, {row.load});
    EXPECT_EQ(text(loss, *world.table), row.expect);
    EXPECT_EQ(loss.survivable(), row.survivable);
}

INSTANTIATE_TEST_SUITE_P(
    Headroom, Losses,
    testing::Values(
        Row{"TheNearestNextHasRoom", {10, 10, 10}, {4, 6, 4}, eu, "6 of which 6 us-east-1:6", true},
        Row{"TheRestSpills", {10, 10, 10}, {8, 6, 4}, eu, "6 of which 6 us-east-1:2 ap-southeast-1:4", true},
        Row{"NotEnough", {10, 10, 10}, {8, 6, 8}, eu, "6 of which 4 us-east-1:2 ap-southeast-1:2", false},
        Row{"JustEnough", {10, 10, 10}, {7, 6, 7}, eu, "6 of which 6 us-east-1:3 ap-southeast-1:3", true},
        Row{"WithoutACapacityThereIsAlwaysRoom", {0, 10, 10}, {900, 6, 10}, eu, "6 of which 6 us-east-1:6", true},
        Row{"TheLostOnesOwnCapacityDoesNotMatter",
            {10, 0, 10},
            {9, 500, 9},
            eu,
            "500 of which 2 us-east-1:1 ap-southeast-1:1",
            false},
        Row{"NothingToLose", {10, 10, 10}, {10, 0, 10}, eu, "0 of which 0", true},
        Row{"FromAsia", {10, 10, 10}, {1, 2, 3}, ap, "3 of which 3 eu-west-1:3", true},
        Row{"FromAmerica", {10, 10, 10}, {5, 2, 3}, us, "5 of which 5 eu-west-1:5", true},
        Row{"OverFullAlready", {10, 10, 10}, {12, 6, 4}, eu, "6 of which 6 ap-southeast-1:6", true},
        Row{"HalfARequestIsRounding", {10, 10, 10}, {10, 0.4, 10}, eu, "0 of which 0", true}),
    [](const auto& row) { return std::string{row.param.name}; });

TEST(Headroom, WhoMayNotTakeNewRequestsTakesNoneAndGivesUpItsOwn) {
    World world{three};
    const std::vector<unsigned> capacities{10, 10, 10};
    const Loads loads{{3, 6, 3}};
    world.state("us-east-1").draining = true;
    EXPECT_EQ(text(lose(eu, *world.table, world.health, capacities, loads), *world.table),
              "9 of which 7 ap-southeast-1:7");
    world.state("us-east-1") = {.verdict = health::Verdict::down};
    EXPECT_FALSE(lose(eu, *world.table, world.health, capacities, loads).survivable());
    world.state("us-east-1") = {.verdict = health::Verdict::degraded};
    EXPECT_TRUE(lose(eu, *world.table, world.health, capacities, loads).survivable());
}

TEST(Headroom, EachSitesLoadStaysInTheSiteAndRoomIsUsedOnce) {
    World world{three +
                "sites:\n"
                "  a: {hosts: [a.example], origins: [eu-west-1, us-east-1], policy: failover}\n"
                "  b: {hosts: [b.example], origins: [eu-west-1, us-east-1, ap-southeast-1], policy: failover}\n"
                "  c: {hosts: [c.example], origins: [eu-west-1]}\n"};
    const std::vector<unsigned> capacities{10, 10, 10};
    EXPECT_EQ(text(lose(eu, *world.table, world.health, capacities, {{4, 0}, {6, 2, 0}, {0}}), *world.table),
              "10 of which 10 us-east-1:8 ap-southeast-1:2");
    EXPECT_EQ(text(lose(eu, *world.table, world.health, capacities, {{8, 5}, {0, 0, 0}, {0}}), *world.table),
              "8 of which 5 us-east-1:5")
        << "the far one has room, but does not serve this site";
    EXPECT_FALSE(lose(eu, *world.table, world.health, capacities, {{0, 0}, {0, 0, 0}, {1}}).survivable())
        << "nobody else serves this one";
}

TEST(Headroom, WhatIsLostInSitesThatShareNoOriginIsNoneOfItsBusiness) {
    World world{three +
                "  us-west-2: https://usw.example.com\n  sa-east-1: https://sa.example.com\n"
                "sites:\n"
                "  a: {hosts: [a.example], origins: [eu-west-1, us-east-1]}\n"
                "  b: {hosts: [b.example], origins: [us-west-2, us-east-1]}\n"
                "  c: {hosts: [c.example], origins: [sa-east-1, ap-southeast-1]}\n"};
    const std::vector<unsigned> capacities{10, 10, 10, 10, 10};
    const Loads loads{{4, 1}, {3, 1}, {6, 9}};
    world.state("us-west-2").draining = true;
    world.state("sa-east-1").draining = true;
    EXPECT_EQ(text(lose(eu, *world.table, world.health, capacities, loads), *world.table), "7 of which 7 us-east-1:7")
        << "b shares us-east-1 with a, c shares nothing";
    EXPECT_EQ(text(lose(world.id("sa-east-1"), *world.table, world.health, capacities, loads), *world.table),
              "6 of which 1 ap-southeast-1:1");
}

TEST(Headroom, WhoIsForbiddenTakesNothing) {
    World world{three +
                "sites:\n"
                "  a:\n"
                "    policy: country\n"
                "    countries: {default: {origins: [eu-west-1, us-east-1], only: true}}\n"};
    EXPECT_EQ(text(lose(eu, *world.table, world.health, std::vector<unsigned>{3, 9, 9}, {{0, 5, 0}}), *world.table),
              "5 of which 3 us-east-1:3");
}

struct Watched {
    World world{three + "sites: {main: {}}\n"};
    Headroom headroom;
    std::vector<unsigned> capacities{10, 10, 10};
    health::TimePoint now{1h};

    /// So many seconds with these requests in flight; how often the row of eu-west-1 changed.
    int run(int seconds, double at_us, double at_eu, double at_ap) {
        int changes = 0;
        for (int i = 0; i < seconds; ++i) {
            now += 1s;
            headroom.look(*world.table, world.health, capacities, sample(at_us, at_eu, at_ap), now);
            changes += headroom.rows()[eu].changed;
        }
        return changes;
    }
    static Headroom::Sample sample(double at_us, double at_eu, double at_ap) {
        return {{{"main", "us-east-1"}, at_us}, {{"main", "eu-west-1"}, at_eu}, {{"main", "ap-southeast-1"}, at_ap}};
    }
    bool survivable() const { return headroom.rows()[eu].survivable; }
};

TEST(Headroom, AnOverloadIsSeenAtOnceAndOverWhenItWasNotSeenForAWhile) {
    Watched watched;
    EXPECT_EQ(watched.run(20, 5, 5, 5), 0);
    EXPECT_EQ(watched.run(1, 10, 10, 10), 0) << "one second is not the mean";
    EXPECT_EQ(watched.run(20, 10, 10, 10), 1);
    EXPECT_FALSE(watched.survivable());
    EXPECT_EQ(watched.run(20, 2, 2, 2), 0) << "too soon";
    EXPECT_EQ(watched.run(30, 2, 2, 2), 1);
    EXPECT_TRUE(watched.survivable());
}

TEST(Headroom, ALoadAtTheEdgeDoesNotFlicker) {
    Watched watched;
    std::mt19937 random{7};
    watched.run(5, 6, 6, 6);
    int changes = 0;
    for (int i = 0; i < 3600; ++i) {
        const auto at = [&] { return 5.5 + std::uniform_real_distribution<double>{0, 3}(random); };
        changes += watched.run(1, at(), at(), at());
    }
    EXPECT_EQ(changes, 1);
}

TEST(Headroom, TrafficThatMovesIsNotCountedTwice) {
    Watched watched;
    watched.run(30, 4, 10, 4);
    ASSERT_TRUE(watched.survivable());
    EXPECT_EQ(watched.run(60, 9, 0, 9), 0) << "as a drain moves it";
}

TEST(Headroom, AnOrderIsJudgedByTheMeanAndByThisMoment) {
    Watched watched;
    watched.run(30, 9, 9, 9);
    const auto ask = [&](const Headroom::Sample& live) {
        return watched.headroom.ask(eu, *watched.world.table, watched.world.health, watched.capacities, live)
            .survivable();
    };
    EXPECT_FALSE(ask(Watched::sample(1, 1, 1))) << "a lull";
    watched.run(60, 1, 1, 1);
    EXPECT_TRUE(ask(Watched::sample(1, 1, 1)));
    EXPECT_FALSE(ask(Watched::sample(8, 8, 8))) << "a rush";
}

TEST(Headroom, WithoutACapacityThereAreNoRows) {
    Watched watched;
    watched.run(3, 9, 9, 9);
    watched.headroom.look(*watched.world.table, watched.world.health, std::vector<unsigned>{0, 0, 0}, {}, watched.now);
    EXPECT_TRUE(watched.headroom.rows().empty());
}

}  // namespace
}  // namespace nearhop::steering::test
