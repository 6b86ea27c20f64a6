#include "tests/proxy/steering/world.h"
#include "tests/support/rows.h"

#include <limits>

namespace nearhop::steering::test {
namespace {

using health::Verdict;

// Step 5: the order of each policy.

TEST(Nearest, ACountryUsesItsPointAndAClientItsOwn) {
    World world{three};
    EXPECT_EQ(world.candidates(from("DE")), "eu-west-1:nearest us-east-1:next_nearest ap-southeast-1:next_nearest");
    EXPECT_EQ(world.candidates(from("JP")), "ap-southeast-1:nearest eu-west-1:next_nearest us-east-1:next_nearest");
    const auto sydney = geo::place_of(geo::point_at(-33.9, 151.2).value(), country("US"), geo::Source::header);
    EXPECT_EQ(world.ask(sydney).chosen()[0].id, world.id("ap-southeast-1"));
    EXPECT_NEAR(world.decision.chosen()[0].km, 6300, 100);
}

TEST(Nearest, AnUnknownPlaceTakesTheConfigurationsOrder) {
    World world{three};
    EXPECT_EQ(world.candidates({}), "us-east-1:failover_order eu-west-1:failover_order ap-southeast-1:failover_order");
    EXPECT_EQ(world.decision.chosen()[0].km, -1);
}

TEST(Failover, KeepsTheSitesOrderAndKnowsDistances) {
    World world{three_with("    policy: failover\n    origins: [ap-southeast-1, us-east-1, eu-west-1]\n")};
    EXPECT_EQ(world.candidates(from("DE")),
              "ap-southeast-1:failover_order us-east-1:failover_order eu-west-1:failover_order");
    EXPECT_GT(world.decision.chosen()[0].km, world.decision.chosen()[2].km);
}

struct LatencyCase {
    const char* name;
    double us, eu, ap;  ///< measured; negative: not
    const char* candidates;
};
using tests::PrintTo;

class Latency : public testing::TestWithParam<LatencyCase> {};

TEST_P(Latency, TheBandAroundTheBestIsEqualAndTheRestFollows) {
    World world{three_with("    policy: latency\n")};
    world.rtt("us-east-1", GetParam().us);
    world.rtt("eu-west-1", GetParam().eu);
    world.rtt("ap-southeast-1", GetParam().ap);
    EXPECT_EQ(world.candidates(from("DE")), GetParam().candidates);
}

constexpr double nan_ms = std::numeric_limits<double>::quiet_NaN();
INSTANTIATE_TEST_SUITE_P(
    Measured, Latency,
    testing::Values(LatencyCase{"ByTime", 300, 20, 100,
                                "eu-west-1:lowest_latency ap-southeast-1:next_latency us-east-1:next_latency"},
                    LatencyCase{"EqualWithin25Ms", 45, 20, 46,
                                "us-east-1:lowest_latency eu-west-1:next_latency ap-southeast-1:next_latency"},
                    LatencyCase{"EqualWithin15Percent", 230, 200, 231,
                                "us-east-1:lowest_latency eu-west-1:next_latency ap-southeast-1:next_latency"},
                    LatencyCase{"OutsideTheBandByTime", 300, 299, 20,
                                "ap-southeast-1:lowest_latency eu-west-1:next_latency us-east-1:next_latency"},
                    LatencyCase{"ModelWhereNotMeasured", 200, -1,
                                -1,  // Germany: Ireland models as 30 ms, Singapore as 175 ms
                                "eu-west-1:lowest_latency ap-southeast-1:next_latency us-east-1:next_latency"},
                    LatencyCase{"NotANumberIsNotMeasured", nan_ms, 500, 500,
                                "us-east-1:lowest_latency eu-west-1:next_latency ap-southeast-1:next_latency"}),
    [](const auto& row) { return std::string{row.param.name}; });

TEST(Latency, WeightsDecideInsideTheBandOnly) {
    World world{
        "origins:\n"
        "  us-east-1: {url: 'https://us.example.com', weight: 1}\n"
        "  eu-west-1: {url: 'https://eu.example.com', weight: 5}\n"
        "  ap-southeast-1: {url: 'https://ap.example.com', weight: 9}\n"
        "sites: {main: {default: true, policy: latency}}\n"};
    world.rtt("us-east-1", 10);
    world.rtt("eu-west-1", 30);
    world.rtt("ap-southeast-1", 60);
    EXPECT_EQ(world.candidates(from("DE")),
              "eu-west-1:lowest_latency us-east-1:next_latency ap-southeast-1:next_latency");
    // The band is measured from the best that can serve: without us-east-1 it reaches 55 ms, not 60.
    world.set("us-east-1", Verdict::down);
    EXPECT_EQ(world.candidates(from("DE")), "eu-west-1:lowest_latency ap-southeast-1:next_latency");
    world.rtt("ap-southeast-1", 55);
    EXPECT_EQ(world.candidates(from("DE")), "ap-southeast-1:lowest_latency eu-west-1:next_latency");
}

TEST(Latency, WithNeitherMeasurementNorPlaceTheConfigurationDecides) {
    World world{three_with("    policy: latency\n")};
    EXPECT_EQ(world.candidates({}), "us-east-1:failover_order eu-west-1:failover_order ap-southeast-1:failover_order");
    world.rtt("ap-southeast-1", 400);
    EXPECT_EQ(world.candidates({}), "ap-southeast-1:lowest_latency us-east-1:failover_order eu-west-1:failover_order");
}

TEST(Override, ItsOriginsComeFirstWithinWhatIsAllowed) {
    World world{
        "geo: {overrides: [{cidr: 10.1.0.0/16, country: DE}, {cidr: 10.0.0.0/16, origins: [ap-southeast-1, "
        "us-east-1]}]}\n" +
        three_with("    writes: us-east-1\n    routes:\n      - {path: /eu, origins: [eu-west-1]}\n")};
    geo::Place office = from("DE");
    office.override_index = 1;
    EXPECT_EQ(world.candidates(office),
              "ap-southeast-1:override_order us-east-1:override_order eu-west-1:next_nearest");
    EXPECT_EQ(world.candidates(office, "POST"), "us-east-1:override_order");
    EXPECT_EQ(world.candidates(office, "GET", "/eu"), "eu-west-1:pinned");
    office.override_index = 0;  // that one lists none
    EXPECT_EQ(world.candidates(office), "eu-west-1:nearest us-east-1:next_nearest ap-southeast-1:next_nearest");
    office.override_index = 99;
    EXPECT_EQ(world.candidates(office), "eu-west-1:nearest us-east-1:next_nearest ap-southeast-1:next_nearest");
}

}  // namespace
}  // namespace nearhop::steering::test
