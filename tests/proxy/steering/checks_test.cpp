#include "tests/proxy/steering/world.h"
#include "tests/support/rows.h"

/// What failing checks, an origin's own word and the operator's orders move, and what they leave where it is.
namespace nearhop::steering::test {
namespace {

using health::Agent;
using health::Override;
using health::Verdict;

const std::string checks =
    "health:\n"
    "  checks:\n"
    "    cache: note\n"
    "    search: degraded\n"
    "    database: {needs: writes, max: {lag_seconds: 5}}\n"
    "    storage: [/files/*, /upload]\n"
    "    kernel: down\n";

constexpr health::CheckSet cache = 1, search = 2, database = 4, storage = 8, kernel = 16;

struct Checks : testing::Test {
    World world{checks + three};
    void fail(std::string_view origin, health::CheckSet set) { world.health.origins[world.id(origin)].failing = set; }
    void fail_everywhere(health::CheckSet set) {
        for (auto& origin : world.health.origins) origin.failing = set;
    }
};

struct Row {
    const char* name;
    health::CheckSet failing;
    const char* method;
    const char* path;
    bool moves;
};
using tests::PrintTo;

class Moves : public Checks, public testing::WithParamInterface<Row> {};

TEST_P(Moves, OnlyWhatNeedsTheCheck) {
    const Row& row = GetParam();
    fail("eu-west-1", row.failing);
    EXPECT_EQ(world.candidates(from("DE"), row.method, row.path),
              row.moves ? "us-east-1:next_nearest ap-southeast-1:next_nearest"
                        : "eu-west-1:nearest us-east-1:next_nearest ap-southeast-1:next_nearest");
}

INSTANTIATE_TEST_SUITE_P(Rows, Moves,
                         testing::Values(Row{"NoteMovesNoRead", cache, "GET", "/", false},
                                         Row{"NoteMovesNoWrite", cache, "POST", "/files/a", false},
                                         Row{"DegradedIsTheVerdictsBusiness", search, "POST", "/files/a", false},
                                         Row{"DownIsTheProbesBusiness", kernel, "POST", "/files/a", false},
                                         Row{"WritesLeavesGet", database, "GET", "/", false},
                                         Row{"WritesLeavesHead", database, "HEAD", "/", false},
                                         Row{"WritesLeavesOptions", database, "OPTIONS", "*", false},
                                         Row{"WritesMovesPost", database, "POST", "/", true},
                                         Row{"WritesMovesPut", database, "PUT", "/", true},
                                         Row{"WritesMovesDelete", database, "DELETE", "/", true},
                                         Row{"WritesMovesWhatNobodyKnows", database, "PURGE", "/", true},
                                         Row{"PathsMoveWhatIsBelow", storage, "GET", "/files/a/b", true},
                                         Row{"PathsMoveTheFolder", storage, "GET", "/files/", true},
                                         Row{"PathsMoveTheFolderWithoutItsSlash", storage, "GET", "/files", true},
                                         Row{"PathsEndAtASegment", storage, "GET", "/filesystem", false},
                                         Row{"PathsTellUpperFromLower", storage, "GET", "/Files/a", false},
                                         Row{"APathAloneIsThatOne", storage, "POST", "/upload", true},
                                         Row{"APathAloneIsNotWhatIsBelow", storage, "POST", "/upload/a", false},
                                         Row{"OneOfSeveralIsEnough", cache | search | storage, "GET", "/files/a",
                                             true}),
                         [](const auto& row) { return std::string{row.param.name}; });

TEST_F(Checks, AnOriginThatCannotDoItIsTheLastResortAndSaysSo) {
    fail("eu-west-1", database);
    EXPECT_EQ(world.considered(from("DE"), "POST"),
              "eu-west-1:check_failed us-east-1:next_nearest ap-southeast-1:next_nearest");
    world.set("us-east-1", Verdict::degraded);
    world.set("ap-southeast-1", Verdict::unknown);
    EXPECT_EQ(world.candidates(from("DE"), "POST"), "us-east-1:degraded ap-southeast-1:unknown")
        << "still no candidate";
    world.set("us-east-1", Verdict::down);
    world.skip("ap-southeast-1");
    EXPECT_EQ(world.candidates(from("DE"), "POST"), "ap-southeast-1:local_skip eu-west-1:check_overruled");
    fail_everywhere(database);
    world.local.skips = {};
    world.set("us-east-1", Verdict::up);
    EXPECT_EQ(world.candidates(from("DE"), "POST"),
              "eu-west-1:check_overruled us-east-1:check_overruled ap-southeast-1:check_overruled");
    world.state("eu-west-1").ejected = true;
    world.skip("us-east-1");
    EXPECT_EQ(world.candidates(from("DE"), "POST"),
              "ap-southeast-1:check_overruled eu-west-1:last_eligible us-east-1:check_overruled");
    EXPECT_EQ(world.candidates(from("DE"), "GET"), "ap-southeast-1:unknown us-east-1:local_skip");
}

TEST_F(Checks, ADownOriginIsNoneTheBetterForBeingAsked) {
    for (const char* name : {"us-east-1", "ap-southeast-1"}) world.set(name, Verdict::down);
    fail("eu-west-1", storage);
    EXPECT_EQ(world.considered(from("DE"), "GET", "/files/a"),
              "eu-west-1:check_overruled us-east-1:down ap-southeast-1:down");
}

TEST_F(Checks, AnOriginThatDrainsByItsOwnWordIsOverruledWhenAllDo) {
    world.state("eu-west-1").agent = Agent::drain;
    EXPECT_EQ(world.considered(from("DE")),
              "eu-west-1:agent_draining us-east-1:next_nearest ap-southeast-1:next_nearest");
    fail("us-east-1", storage);
    world.set("ap-southeast-1", Verdict::down);
    EXPECT_EQ(world.candidates(from("DE"), "GET", "/files/a"), "eu-west-1:leaving us-east-1:check_overruled")
        << "it works, and only wants to go";
    for (auto& origin : world.health.origins) origin.state.agent = Agent::drain;
    EXPECT_EQ(world.candidates(from("DE")), "eu-west-1:leaving us-east-1:leaving");
}

TEST_F(Checks, AnOrderIsNeverOverruled) {
    for (auto& origin : world.health.origins) origin.state.verdict = Verdict::down;
    world.state("eu-west-1").order = Override::force_down;
    EXPECT_EQ(world.considered(from("DE")),
              "eu-west-1:forced_down us-east-1:all_down_open ap-southeast-1:all_down_open");
    for (auto& origin : world.health.origins) origin.state.order = Override::force_down;
    EXPECT_EQ(world.candidates(from("DE")), "");
}

TEST(ChecksOfTheirOwn, AreCountedByTheOriginsOwnMap) {
    World world{checks +
                "origins:\n"
                "  us-east-1: https://us.example.com\n"
                "  eu-west-1: {url: https://eu.example.com, health: {checks: {ledger: [/pay/*]}}}\n"};
    world.health.origins[world.id("eu-west-1")].failing = 1;
    world.health.origins[world.id("us-east-1")].failing = cache;
    EXPECT_EQ(world.candidates(from("DE"), "GET", "/pay/1"), "us-east-1:next_nearest");
    EXPECT_EQ(world.candidates(from("DE"), "GET", "/"), "eu-west-1:nearest us-east-1:next_nearest");
}

}  // namespace
}  // namespace nearhop::steering::test
