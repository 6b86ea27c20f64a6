#include "tests/proxy/steering/world.h"
#include "tests/support/rows.h"

namespace nearhop::steering::test {
namespace {

using health::Verdict;

// Step 3: routes.

struct RouteCase {
    const char* method;
    const char* path;
    const char* prefix;
};
void PrintTo(const RouteCase& row, std::ostream* out) { tests::print_fields(out, row.method, row.path); }

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
void PrintTo(const CountryCase& row, std::ostream* out) { tests::print_fields(out, row.country); }

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

}  // namespace
}  // namespace nearhop::steering::test
