#include "tests/proxy/steering/world.h"
#include "tests/support/rows.h"

/// What happened to earlier attempts of the same request, as an argument of decide().
namespace nearhop::steering::test {
namespace {

using health::Verdict;

const std::string five = three + "  us-west-2: https://usw.example.com\n  sa-east-1: https://sa.example.com\n";

/// Names, or "-" for a key that is known at an origin that is gone.
struct Row {
    const char* name;
    std::vector<const char*> tried, full, pinned;
    std::vector<const char*> down, ejected, draining;
    const char* candidates;
    const char* considered;
    const char* passed_over;
};
using tests::PrintTo;

class Attempts : public testing::TestWithParam<Row> {
protected:
    World world{five};

    void SetUp() override {
        const auto& row = GetParam();
        for (const auto* name : row.tried) world.earlier.tried.set(world.position(name));
        for (const auto* name : row.full) world.earlier.full.set(world.position(name));
        if (!row.pinned.empty()) world.earlier.pinned.emplace();
        for (const std::string_view name : row.pinned)
            if (name != "-") world.earlier.pinned->set(world.position(name));
        for (const auto* name : row.down) world.set(name, Verdict::down);
        for (const auto* name : row.ejected) world.state(name).ejected = true;
        for (const auto* name : row.draining) world.state(name).draining = true;
    }
};

TEST_P(Attempts, DecideWhoIsAskedNext) {
    const auto& row = GetParam();
    const Decision& decision = world.ask(from("DE"));
    EXPECT_EQ(world.text(decision.chosen()), row.candidates);
    EXPECT_EQ(world.text(decision.all()), row.considered);
    EXPECT_EQ(world.table->origins[decision.first.id].name, "eu-west-1");
    EXPECT_EQ(decision.first.passed_over ? name(*decision.first.passed_over) : "-", row.passed_over);
}

INSTANTIATE_TEST_SUITE_P(
    Earlier, Attempts,
    testing::Values(
        Row{"NothingHappened",
            {},
            {},
            {},
            {},
            {},
            {},
            "eu-west-1:nearest us-east-1:next_nearest us-west-2:next_nearest",
            "eu-west-1:nearest us-east-1:next_nearest us-west-2:next_nearest sa-east-1:surplus ap-southeast-1:surplus",
            "-"},
        Row{"TheFirstWasTried",
            {"eu-west-1"},
            {},
            {},
            {},
            {},
            {},
            "us-east-1:next_nearest us-west-2:next_nearest sa-east-1:next_nearest",
            "eu-west-1:failed us-east-1:next_nearest us-west-2:next_nearest sa-east-1:next_nearest "
            "ap-southeast-1:surplus",
            "failed"},
        Row{"AllButOneWereTried",
            {"eu-west-1", "us-east-1", "us-west-2", "ap-southeast-1"},
            {},
            {},
            {},
            {},
            {},
            "sa-east-1:next_nearest",
            "eu-west-1:failed us-east-1:failed us-west-2:failed sa-east-1:next_nearest ap-southeast-1:failed",
            "failed"},
        Row{"WhatWasTriedStillKeepsEjectedOnesOut",
            {"eu-west-1"},
            {},
            {},
            {},
            {"us-east-1", "us-west-2", "sa-east-1", "ap-southeast-1"},
            {},
            "",
            "eu-west-1:failed us-east-1:ejected us-west-2:ejected sa-east-1:ejected ap-southeast-1:ejected",
            "failed"},
        Row{"TriedAndDownMeanwhile",
            {"eu-west-1"},
            {},
            {},
            {"eu-west-1"},
            {},
            {},
            "us-east-1:next_nearest us-west-2:next_nearest sa-east-1:next_nearest",
            "eu-west-1:down us-east-1:next_nearest us-west-2:next_nearest sa-east-1:next_nearest "
            "ap-southeast-1:surplus",
            "down"},
        Row{"TheFirstHadNoRoom",
            {},
            {"eu-west-1"},
            {},
            {},
            {},
            {},
            "us-east-1:spilled us-west-2:next_nearest sa-east-1:next_nearest",
            "eu-west-1:surplus us-east-1:spilled us-west-2:next_nearest sa-east-1:next_nearest ap-southeast-1:surplus",
            "full"},
        Row{"NobodyHadRoom",
            {},
            {"eu-west-1", "us-east-1", "us-west-2", "sa-east-1", "ap-southeast-1"},
            {},
            {},
            {},
            {},
            "eu-west-1:full us-east-1:full us-west-2:full",
            "eu-west-1:full us-east-1:full us-west-2:full sa-east-1:surplus ap-southeast-1:surplus",
            "-"},
        Row{"TriedAndFullDoesNotSpill",
            {"eu-west-1"},
            {"eu-west-1"},
            {},
            {},
            {},
            {},
            "us-east-1:next_nearest us-west-2:next_nearest sa-east-1:next_nearest",
            "eu-west-1:failed us-east-1:next_nearest us-west-2:next_nearest sa-east-1:next_nearest "
            "ap-southeast-1:surplus",
            "failed"},
        Row{"TheKeyIsKnownAtOne",
            {},
            {},
            {"us-west-2"},
            {},
            {},
            {},
            "us-west-2:key_pinned",
            "eu-west-1:key_pinned us-east-1:key_pinned us-west-2:key_pinned sa-east-1:key_pinned "
            "ap-southeast-1:key_pinned",
            "key_pinned"},
        Row{"TheKeyIsKnownAtTheFirst",
            {},
            {},
            {"eu-west-1"},
            {"us-east-1"},
            {},
            {},
            "eu-west-1:key_pinned",
            "eu-west-1:key_pinned us-east-1:down us-west-2:key_pinned sa-east-1:key_pinned ap-southeast-1:key_pinned",
            "-"},
        Row{"WhateverTheVerdictOnThat",
            {},
            {},
            {"us-west-2"},
            {"us-west-2"},
            {"eu-west-1"},
            {},
            "us-west-2:key_pinned",
            "eu-west-1:ejected us-east-1:key_pinned us-west-2:key_pinned sa-east-1:key_pinned "
            "ap-southeast-1:key_pinned",
            "ejected"},
        Row{"ButNotAgainstTheOperatorsOrder",
            {},
            {},
            {"us-west-2"},
            {},
            {},
            {"us-west-2"},
            "",
            "eu-west-1:key_pinned us-east-1:key_pinned us-west-2:draining sa-east-1:key_pinned "
            "ap-southeast-1:key_pinned",
            "key_pinned"},
        Row{"NorASecondTime",
            {"us-west-2"},
            {},
            {"us-west-2"},
            {},
            {},
            {},
            "",
            "eu-west-1:key_pinned us-east-1:key_pinned us-west-2:failed sa-east-1:key_pinned ap-southeast-1:key_pinned",
            "key_pinned"},
        Row{"TheKeyIsKnownAtAnOriginThatIsGone",
            {},
            {},
            {"-"},
            {},
            {},
            {},
            "",
            "eu-west-1:key_pinned us-east-1:key_pinned us-west-2:key_pinned sa-east-1:key_pinned "
            "ap-southeast-1:key_pinned",
            "key_pinned"}),
    [](const auto& row) { return std::string{row.param.name}; });

TEST(Earlier, RulesHoldForAPinToo) {
    World world{three_with("    writes: us-east-1\n")};
    world.earlier.pinned = OriginSet::of(world.position("eu-west-1"));
    EXPECT_EQ(world.considered(from("DE"), "POST"),
              "eu-west-1:forbidden_write us-east-1:key_pinned ap-southeast-1:forbidden_write");
    EXPECT_EQ(world.decision.candidate_count, 0);
}

TEST(PassedOver, SaysWhyAnotherOneServed) {
    const FirstChoice first{.id = 4, .passed_over = {}, .position = Position{1}};
    const FirstChoice down{.id = 4, .passed_over = Reason::down, .position = Position{1}};
    const Considered itself{.id = 4, .position = Position{1}, .reason = Reason::nearest};
    const Considered other{.id = 7, .position = Position{2}, .reason = Reason::next_nearest};
    const Considered pinned{.id = 7, .position = Position{2}, .reason = Reason::key_pinned};
    const steering::Earlier nothing;
    steering::Earlier moved;
    moved.tried.set(Position{1});
    EXPECT_EQ(passed_over(first, nothing, &itself), std::nullopt);
    EXPECT_EQ(passed_over(down, moved, &itself), std::nullopt) << "it was asked again";
    EXPECT_EQ(passed_over(down, nothing, &other), Reason::down);
    EXPECT_EQ(passed_over(first, moved, &other), Reason::failed);
    EXPECT_EQ(passed_over(down, moved, &pinned), Reason::key_pinned);
    EXPECT_EQ(passed_over(first, nothing, &other), Reason::late) << "asked, not moved from, and not the one";
    EXPECT_EQ(passed_over(first, nothing, nullptr), std::nullopt);
    EXPECT_EQ(passed_over(down, nothing, nullptr), Reason::down);
}

}  // namespace
}  // namespace nearhop::steering::test
