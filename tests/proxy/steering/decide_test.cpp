#include "tests/proxy/steering/world.h"

#include <limits>

namespace nearhop::steering::test {
namespace {

using health::Verdict;

std::string three_with(const std::string& site) { return three + "sites:\n  main:\n    default: true\n" + site; }

// Step 3: routes.

struct RouteCase {
    const char* method;
    const char* path;
    const char* prefix;
};

class Routes : public testing::TestWithParam<RouteCase> {};

TEST_P(Routes, TheLongestPrefixOnASegmentBoundaryThatTakesTheMethodWins) {
    World world{
        three_with("    routes:\n"
                   "      - {path: /files, head_timeout: 1s}\n"
                   "      - {path: /dir/, head_timeout: 1s}\n"
                   "      - {path: /files/big, methods: [PUT, POST], head_timeout: 1s}\n")};
    const Decision& decision = world.ask(from("DE"), GetParam().method, GetParam().path);
    EXPECT_EQ(world.table->sites[0].routes[decision.route].path_prefix, GetParam().prefix);
}

INSTANTIATE_TEST_SUITE_P(Paths, Routes,
                         testing::Values(RouteCase{"GET", "/files", "/files"}, RouteCase{"GET", "/files/x", "/files"},
                                         RouteCase{"GET", "/filesystem", "/"}, RouteCase{"GET", "/Files", "/"},
                                         RouteCase{"GET", "/dir/", "/dir/"}, RouteCase{"GET", "/dir/x/y", "/dir/"},
                                         RouteCase{"GET", "/dir", "/"}, RouteCase{"GET", "/", "/"},
                                         RouteCase{"OPTIONS", "*", "/"}, RouteCase{"GET", "", "/"},
                                         RouteCase{"PUT", "/files/big", "/files/big"},
                                         RouteCase{"POST", "/files/big/1", "/files/big"},
                                         RouteCase{"GET", "/files/big", "/files"},
                                         RouteCase{"put", "/files/big", "/files"}));

TEST(Routes, OfEqualPrefixesTheFirstThatMatchesWins) {
    World world{
        three_with("    routes:\n"
                   "      - {path: /a, methods: [GET], origins: [us-east-1]}\n"
                   "      - {path: /a, origins: [eu-west-1]}\n")};
    EXPECT_EQ(world.ask(from("JP"), "GET", "/a").route, 0);
    EXPECT_EQ(world.ask(from("JP"), "PUT", "/a").route, 1);
}

TEST(Routes, ARuleForTheWholeSiteHasNoHole) {
    World world{three_with("    routes:\n      - {path: /, origins: [us-east-1]}\n")};
    for (const char* path : {"/", "*", "", "/x"})
        EXPECT_EQ(world.candidates(from("DE"), "OPTIONS", path), "us-east-1:pinned") << path;
}

// Step 4: who may serve at all.

TEST(Forbidden, ARoutePinsItsOriginsWhateverFails) {
    World world{three_with("    routes:\n      - {path: /eu, origins: [eu-west-1]}\n")};
    EXPECT_EQ(world.candidates(from("US"), "GET", "/eu"), "eu-west-1:pinned");
    world.set("eu-west-1", Verdict::down);
    EXPECT_EQ(world.considered(from("US"), "GET", "/eu"),
              "us-east-1:forbidden_route eu-west-1:all_down_open ap-southeast-1:forbidden_route");
    world.state("eu-west-1").draining = true;
    EXPECT_EQ(world.candidates(from("US"), "GET", "/eu"), "");
}

TEST(Forbidden, WritesGoToTheWriterWhateverFails) {
    World world{three_with("    writes: us-east-1\n")};
    for (const char* method : {"GET", "HEAD", "OPTIONS", "TRACE"})
        EXPECT_EQ(world.candidates(from("DE"), method),
                  "eu-west-1:nearest us-east-1:next_nearest ap-southeast-1:next_nearest")
            << method;
    for (const char* method : {"POST", "PUT", "PATCH", "DELETE", "CONNECT", "get", "", "PROPFIND"})
        EXPECT_EQ(world.considered(from("DE"), method),
                  "eu-west-1:forbidden_write us-east-1:writer ap-southeast-1:forbidden_write")
            << method;
    world.set("us-east-1", Verdict::down);
    EXPECT_EQ(world.candidates(from("DE"), "POST"), "us-east-1:all_down_open");
    world.state("us-east-1").ejected = true;
    world.set("us-east-1", Verdict::up);
    EXPECT_EQ(world.candidates(from("DE"), "POST"), "us-east-1:last_eligible");
}

TEST(Forbidden, ARouteThatLeavesNoWriterRefusesWrites) {
    World world{three_with("    writes: us-east-1\n    routes:\n      - {path: /eu, origins: [eu-west-1]}\n")};
    EXPECT_EQ(world.considered(from("DE"), "POST", "/eu"),
              "eu-west-1:forbidden_write us-east-1:forbidden_route ap-southeast-1:forbidden_route");
    EXPECT_EQ(world.decision.candidate_count, 0);
}

const std::string by_country =
    "    policy: country\n"
    "    groups: {nordic: [SE, NO, DK], home: [DE, FR]}\n"
    "    countries:\n"
    "      DE: {origins: [eu-west-1], only: true}\n"
    "      FR: [ap-southeast-1, eu-west-1]\n"
    "      nordic: [us-east-1]\n"
    "      eu: [eu-west-1]\n"
    "      home: [us-east-1]\n"
    "      continent:AS: [ap-southeast-1]\n"
    "      default: [us-east-1, eu-west-1]\n";

struct CountryCase {
    const char* country;
    const char* candidates;
};

class Countries : public testing::TestWithParam<CountryCase> {};

TEST_P(Countries, TheMostParticularRowDecidesAndTheRestFollowsByNearest) {
    World world{three_with(by_country)};
    EXPECT_EQ(world.candidates(from(GetParam().country)), GetParam().candidates);
}

INSTANTIATE_TEST_SUITE_P(
    Rows, Countries,
    testing::Values(CountryCase{"DE", "eu-west-1:country_map"},
                    CountryCase{"FR", "ap-southeast-1:country_map eu-west-1:country_map us-east-1:next_nearest"},
                    CountryCase{"SE", "us-east-1:country_map eu-west-1:next_nearest ap-southeast-1:next_nearest"},
                    CountryCase{"NO", "us-east-1:country_map eu-west-1:next_nearest ap-southeast-1:next_nearest"},
                    CountryCase{"IT", "eu-west-1:country_map us-east-1:next_nearest ap-southeast-1:next_nearest"},
                    CountryCase{"JP", "ap-southeast-1:country_map eu-west-1:next_nearest us-east-1:next_nearest"},
                    CountryCase{"BR", "us-east-1:country_map eu-west-1:country_map ap-southeast-1:next_nearest"}));

TEST(Countries, ContinentsAndUnknownPlacesFindTheirRows) {
    World world{three_with(by_country)};
    geo::Place asia;
    asia.continent = geo::Continent::asia;
    asia.level = geo::Level::continent;
    EXPECT_EQ(world.candidates(asia), "ap-southeast-1:country_map us-east-1:failover_order eu-west-1:failover_order");
    EXPECT_EQ(world.candidates({}), "us-east-1:country_map eu-west-1:country_map ap-southeast-1:failover_order");
}

TEST(Countries, WithoutARowTheNearestServes) {
    World world{three_with("    policy: country\n    countries: {JP: [us-east-1]}\n")};
    EXPECT_EQ(world.candidates(from("DE")), "eu-west-1:nearest us-east-1:next_nearest ap-southeast-1:next_nearest");
}

TEST(Countries, OnlyForbidsTheOthersWhateverFails) {
    World world{three_with(by_country)};
    world.set("eu-west-1", Verdict::down);
    EXPECT_EQ(world.considered(from("DE")),
              "eu-west-1:all_down_open us-east-1:forbidden_country ap-southeast-1:forbidden_country");
    World closed{three_with(by_country + "    all_down: closed\n")};
    closed.set("eu-west-1", Verdict::down);
    EXPECT_EQ(closed.considered(from("DE")),
              "eu-west-1:down us-east-1:forbidden_country ap-southeast-1:forbidden_country");
    EXPECT_EQ(closed.decision.candidate_count, 0);
}

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
