#include "tests/proxy/steering/world.h"

namespace nearhop::steering::test {
namespace {

using health::Verdict;

// Step 6: what health does to the order.

TEST(Verdicts, UpThenDegradedThenUnknown) {
    World world{three};
    world.set("eu-west-1", Verdict::unknown);
    world.set("us-east-1", Verdict::degraded);
    EXPECT_EQ(world.candidates(from("DE")), "ap-southeast-1:next_nearest us-east-1:degraded eu-west-1:unknown");
    EXPECT_EQ(world.considered(from("DE")), "eu-west-1:unknown us-east-1:degraded ap-southeast-1:next_nearest");
}

TEST(Verdicts, BeforeTheFirstOneThePolicyAloneOrders) {
    World world{three};
    for (auto& origin : world.health.origins) origin.state.verdict = Verdict::unknown;
    EXPECT_EQ(world.candidates(from("DE")), "eu-west-1:nearest us-east-1:next_nearest ap-southeast-1:next_nearest");
    world.health.origins.clear();  // a table from before these origins existed
    EXPECT_EQ(world.candidates(from("DE")), "eu-west-1:nearest us-east-1:next_nearest ap-southeast-1:next_nearest");
}

TEST(Verdicts, ADownOriginIsPassedOver) {
    World world{three};
    world.set("eu-west-1", Verdict::down);
    EXPECT_EQ(world.considered(from("DE")), "eu-west-1:down us-east-1:next_nearest ap-southeast-1:next_nearest");
    EXPECT_EQ(world.candidates(from("DE")), "us-east-1:next_nearest ap-southeast-1:next_nearest");
}

TEST(Verdicts, AllDownIsTriedInPolicyOrderOrNotAtAll) {
    for (const bool open : {true, false}) {
        World world{three_with(open ? "" : "    all_down: closed\n")};
        for (auto& origin : world.health.origins) origin.state.verdict = Verdict::down;
        EXPECT_EQ(world.candidates(from("DE")),
                  open ? "eu-west-1:all_down_open us-east-1:all_down_open ap-southeast-1:all_down_open" : "");
        EXPECT_EQ(world.decision.considered_count, 3);
    }
}

TEST(Verdicts, AnEjectionIsIgnoredOnlyWhereNothingElseIsLeft) {
    for (const char* all_down : {"open", "closed"}) {
        World world{three_with("    all_down: " + std::string{all_down} + "\n")};
        world.state("eu-west-1").ejected = true;
        EXPECT_EQ(world.considered(from("DE")), "eu-west-1:ejected us-east-1:next_nearest ap-southeast-1:next_nearest");
        world.set("us-east-1", Verdict::down);
        world.set("ap-southeast-1", Verdict::down);
        EXPECT_EQ(world.considered(from("DE")), "eu-west-1:last_eligible us-east-1:down ap-southeast-1:down");
        EXPECT_EQ(world.candidates(from("DE")), "eu-west-1:last_eligible");
        world.set("eu-west-1", Verdict::down);  // a probe says so too: no longer eligible even as the last
        EXPECT_EQ(world.candidates(from("DE")).empty(), std::string_view{all_down} == "closed");
    }
}

TEST(Verdicts, ADrainingOriginGetsNothingEvenAsTheLast) {
    World world{three};
    world.state("eu-west-1").draining = true;
    EXPECT_EQ(world.considered(from("DE")), "eu-west-1:draining us-east-1:next_nearest ap-southeast-1:next_nearest");
    world.set("us-east-1", Verdict::down);
    world.state("ap-southeast-1").ejected = true;
    EXPECT_EQ(world.candidates(from("DE")), "ap-southeast-1:last_eligible");
    world.set("ap-southeast-1", Verdict::down);
    EXPECT_EQ(world.considered(from("DE")), "eu-west-1:draining us-east-1:all_down_open ap-southeast-1:all_down_open");
    for (auto& origin : world.health.origins) origin.state.draining = true;
    EXPECT_EQ(world.considered(from("DE")), "eu-west-1:draining us-east-1:draining ap-southeast-1:draining");
    EXPECT_EQ(world.decision.candidate_count, 0);
}

TEST(LocalSkip, GoesBehindEverythingEligible) {
    World world{three};
    world.skip("eu-west-1");
    world.set("ap-southeast-1", Verdict::unknown);
    EXPECT_EQ(world.candidates(from("DE")), "us-east-1:next_nearest ap-southeast-1:unknown eu-west-1:local_skip");
    world.set("us-east-1", Verdict::down);
    world.state("ap-southeast-1").draining = true;
    EXPECT_EQ(world.candidates(from("DE")), "eu-west-1:local_skip");
}

TEST(LocalSkip, ThatIsAllThereIsBringsEjectedOriginsBackBehindIt) {
    World world{three};
    world.skip("us-east-1");
    world.skip("ap-southeast-1");
    world.state("eu-west-1").ejected = true;
    world.state("ap-southeast-1").ejected = true;
    EXPECT_EQ(world.candidates(from("DE")),
              "us-east-1:local_skip eu-west-1:last_eligible ap-southeast-1:last_eligible");
}

TEST(LocalSkip, SaysWhereRequestsWaitedInVain) {
    World world{three};
    world.stall("eu-west-1");
    EXPECT_EQ(world.candidates(from("DE")), "us-east-1:next_nearest ap-southeast-1:next_nearest eu-west-1:stalled");
}

TEST(Capacity, ABusyOriginGoesBehindOthersThatAreUpAndBeforeAllElse) {
    World world{three};
    world.busy("eu-west-1");
    EXPECT_EQ(world.candidates(from("DE")), "us-east-1:spilled ap-southeast-1:next_nearest eu-west-1:busy");
    world.set("us-east-1", Verdict::degraded);
    world.set("ap-southeast-1", Verdict::unknown);
    EXPECT_EQ(world.candidates(from("DE")), "eu-west-1:nearest us-east-1:degraded ap-southeast-1:unknown");
}

TEST(Capacity, WhereAllAreBusyThePolicyDecidesAsEver) {
    World world{three};
    for (const auto* name : {"us-east-1", "eu-west-1", "ap-southeast-1"}) world.busy(name);
    EXPECT_EQ(world.candidates(from("DE")), "eu-west-1:nearest us-east-1:next_nearest ap-southeast-1:next_nearest");
}

TEST(Capacity, AFullOriginGoesBehindAllThatAreHealthyAndBeforeThoseThatJustFailed) {
    World world{three};
    world.full("eu-west-1");
    world.set("us-east-1", Verdict::degraded);
    world.skip("ap-southeast-1");
    EXPECT_EQ(world.candidates(from("DE")), "us-east-1:spilled eu-west-1:full ap-southeast-1:local_skip");
    world.full("us-east-1");
    EXPECT_EQ(world.candidates(from("DE")), "eu-west-1:full us-east-1:full ap-southeast-1:local_skip");
}

TEST(Capacity, BringsNoOriginBackThatHealthKeepsOut) {
    World world{three};
    world.full("eu-west-1");
    world.set("us-east-1", Verdict::down);
    world.state("ap-southeast-1").ejected = true;
    EXPECT_EQ(world.considered(from("DE")), "eu-west-1:full us-east-1:down ap-southeast-1:ejected");
}

TEST(Capacity, OfAForbiddenOriginSpillsNothing) {
    World world{three + "sites:\n  main: {hosts: [a.example.com], writes: us-east-1}\n"};
    world.full("eu-west-1");
    EXPECT_EQ(world.candidates(from("DE"), "POST"), "us-east-1:writer");
}

// Step 7.

TEST(Candidates, AreThreeAndTheOthersAreSurplus) {
    World world{three + "  us-west-2: https://usw.example.com\n  sa-east-1: https://sa.example.com\n"};
    EXPECT_EQ(world.considered(from("DE")),
              "eu-west-1:nearest us-east-1:next_nearest us-west-2:next_nearest sa-east-1:surplus "
              "ap-southeast-1:surplus");
    world.set("eu-west-1", Verdict::degraded);
    EXPECT_EQ(world.considered(from("DE")),
              "eu-west-1:surplus us-east-1:next_nearest us-west-2:next_nearest sa-east-1:next_nearest "
              "ap-southeast-1:surplus");
}

TEST(Candidates, OriginsOfOtherSitesAreNotLookedAt) {
    World world{three +
                "sites:\n"
                "  a: {hosts: [a.example.com], origins: [us-east-1]}\n"
                "  b: {hosts: [b.example.com], origins: [ap-southeast-1, eu-west-1]}\n"};
    EXPECT_EQ(world.considered(from("DE"), "GET", "/", 0), "us-east-1:nearest");
    EXPECT_EQ(world.considered(from("DE"), "GET", "/", 1), "eu-west-1:nearest ap-southeast-1:next_nearest");
}

}  // namespace
}  // namespace nearhop::steering::test
