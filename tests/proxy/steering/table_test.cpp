#include "tests/proxy/steering/world.h"

namespace nearhop::steering::test {
namespace {

conf::Origin origin(std::string name, std::string region = {}) {
    conf::Origin out;
    out.name = name;
    out.url.value.host = name + ".example.com";
    out.region = {std::move(region), {7, 9}, "origins." + name + ".region"};
    out.mark = {6, 3};
    return out;
}

conf::Site site(std::vector<std::string> origins, conf::Policy policy = conf::Policy::nearest) {
    conf::Site out;
    out.name = "main";
    out.is_default = true;
    out.policy = policy;
    out.mark = {20, 3};
    for (auto& name : origins) out.origins.push_back({std::move(name), {21, 5}, "sites.main.origins"});
    return out;
}

conf::CountryRow row(std::string key, std::vector<std::string> origins) {
    conf::CountryRow out;
    out.key = {key, {30, 5}, "sites.main.countries." + key};
    for (auto& name : origins) out.origins.push_back({std::move(name), {31, 7}, "sites.main.countries." + key});
    return out;
}

struct Built {
    std::shared_ptr<const Table> table;
    std::string problems;
};
Built build(const conf::Config& config) {
    conf::Problems problems;
    Built built{build_table(config, problems), {}};
    for (const auto& problem : problems) built.problems += conf::to_string(problem, "f.yaml") + "\n";
    return built;
}

testing::AssertionResult refuses(const conf::Config& config, std::string_view message) {
    const Built built = build(config);
    if (built.table) return testing::AssertionFailure() << "was accepted";
    if (built.problems.find(message) == std::string::npos) return testing::AssertionFailure() << built.problems;
    return testing::AssertionSuccess();
}

conf::Config two() {
    conf::Config config;
    config.origins = {origin("us-east-1"), origin("eu", "eu-west-1")};
    config.sites = {site({"us-east-1", "eu"})};
    return config;
}

TEST(BuildTable, RegionsComeFromTheKeyOrTheNameAndCoordinatesWin) {
    conf::Config config = two();
    config.origins.push_back(origin("own", "basement"));
    config.origins[2].coordinates = {{52.5, 13.4}};
    config.origins[0].coordinates = {{1.0, 2.0}};
    const Built built = build(config);
    ASSERT_TRUE(built.table) << built.problems;
    EXPECT_EQ(built.problems, "");
    EXPECT_EQ(built.table->origins[0].region, "us-east-1");
    EXPECT_EQ(built.table->origins[1].region, "eu-west-1");
    EXPECT_EQ(built.table->origins[2].region, "basement");
    EXPECT_EQ(built.table->origins[1].host, "eu.example.com");
    EXPECT_EQ(geo::distance_km(*built.table->origins[0].point, *geo::point_at(1, 2)), 0);
    EXPECT_EQ(geo::distance_km(*built.table->origins[2].point, *geo::point_at(52.5, 13.4)), 0);
}

TEST(BuildTable, AnUnknownRegionIsRefusedWithItsPlaceAndANearMiss) {
    conf::Config config = two();
    config.origins[1] = origin("eu", "eu-wset-1");
    EXPECT_TRUE(refuses(config, "f.yaml:7:9: error: origins.eu.region: unknown region \"eu-wset-1\""));
    EXPECT_TRUE(refuses(config, "did you mean \"eu-west-1\"?"));
    config.origins[1].coordinates = {{52.5, 13.4}};  // then it is only a label, but a doubtful one
    const Built built = build(config);
    EXPECT_TRUE(built.table);
    EXPECT_NE(built.problems.find("f.yaml:7:9: warning: origins.eu.region"), std::string::npos) << built.problems;
}

TEST(BuildTable, NearestAndLatencyNeedToKnowWhereAnOriginIs) {
    conf::Config config = two();
    config.origins[1] = origin("eu-wset-1");
    for (const auto policy : {conf::Policy::nearest, conf::Policy::latency}) {
        config.sites = {site({"us-east-1", "eu-wset-1"}, policy), site({"eu-wset-1"}, policy)};
        config.sites[1].is_default = false;
        EXPECT_TRUE(refuses(config, "f.yaml:6:3: error: origins.eu-wset-1: has neither region nor coordinates"));
        EXPECT_TRUE(refuses(config, "did you mean \"eu-west-1\"?"));
        const std::string problems = build(config).problems;
        EXPECT_EQ(std::count(problems.begin(), problems.end(), '\n'), 1) << "told once for two sites\n" << problems;
    }
    for (const auto policy : {conf::Policy::failover, conf::Policy::country}) {
        config.sites = {site({"us-east-1", "eu-wset-1"}, policy)};
        EXPECT_TRUE(build(config).table);
    }
}

TEST(BuildTable, CountryKeysMustMeanSomething) {
    for (const char* key : {"QQ", "XX", "continent:XY", "erope", "DEU"}) {
        conf::Config config = two();
        config.sites[0].policy = conf::Policy::country;
        config.sites[0].countries = {row(key, {"eu"})};
        EXPECT_TRUE(refuses(config, "f.yaml:30:5: error: sites.main.countries." + std::string{key} + ": unknown"));
    }
    conf::Config config = two();
    config.sites[0].policy = conf::Policy::country;
    config.sites[0].groups = {{"nordic", {"SE", "QQ"}}};
    config.sites[0].countries = {row("nordic", {"eu"})};
    EXPECT_TRUE(refuses(config, "unknown country \"QQ\" in group nordic"));
    config.sites[0].countries = {row("nordci", {"eu"})};
    EXPECT_TRUE(refuses(config, "did you mean \"nordic\"?"));
    config.sites[0].countries = {row("DE", {"eu"}), row("de", {"eu"})};
    EXPECT_TRUE(refuses(config, "is a second row"));
    config.sites[0].countries = {row("DE", {})};
    EXPECT_TRUE(refuses(config, "want at least one origin"));
}

TEST(BuildTable, RulesNameOriginsOfTheSiteOnly) {
    const conf::At<std::string> stranger{"us-east-2", {40, 4}, "sites.main.x"};
    conf::Config config = two();
    config.sites[0].writes = {stranger};
    EXPECT_TRUE(
        refuses(config, "f.yaml:40:4: error: sites.main.x: unknown origin \"us-east-2\"; did you mean \"us-east-1\"?"));
    config = two();
    config.sites[0].origins.pop_back();
    config.sites[0].routes.emplace_back().origins = {{"eu", {41, 4}, "sites.main.routes"}};
    EXPECT_TRUE(refuses(config, "f.yaml:41:4: error: sites.main.routes: origin \"eu\" is not one of site main"));
    config = two();
    config.geo.overrides.push_back({{"10.0.0.0/8", {}, {}}, {}, {}, {{"ue", {42, 4}, "geo.overrides"}}});
    EXPECT_TRUE(refuses(config, "f.yaml:42:4: error: geo.overrides: unknown origin"));
    config = two();
    config.sites.push_back(site({"eu"}));
    EXPECT_TRUE(refuses(config, "second default site"));
    config = two();
    config.origins.push_back(origin("eu"));
    EXPECT_TRUE(refuses(config, "second origin of this name"));
}

TEST(BuildTable, ASiteHasSixtyFourOriginsAndNoMore) {
    conf::Config config;
    std::vector<std::string> names;
    for (int i = 0; i < 64; ++i) {
        names.push_back("o" + std::to_string(i));
        config.origins.push_back(origin(names.back(), "us-east-1"));
    }
    config.sites = {site(names)};
    config.origins.push_back(origin("o64", "us-east-1"));
    const auto built = build(config);
    ASSERT_TRUE(built.table) << "another origin, of no site";
    EXPECT_EQ(built.table->sites[0].members.count(), 64U);
    EXPECT_TRUE(built.table->sites[0].members[*built.table->sites[0].position_of(63)]);
    config.sites[0].origins.push_back({"o64", {7, 3}, "sites.main.origins"});
    EXPECT_TRUE(
        refuses(config, "f.yaml:7:3: error: sites.main.origins: found 65 origins of site main, want at most 64"));
}

TEST(BuildTable, APositionIsOfItsSite) {
    conf::Config config = two();
    config.sites = {site({"us-east-1", "eu"}), site({"eu"})};
    config.sites[1].name = "second";
    config.sites[1].is_default = false;
    const auto built = build(config);
    ASSERT_TRUE(built.table);
    const auto& sites = built.table->sites;
    EXPECT_EQ(sites[0].position_of(1), Position{1});
    EXPECT_EQ(sites[1].position_of(1), Position{0});
    EXPECT_EQ(sites[1].position_of(0), std::nullopt);
}

TEST(BuildTable, RoutesAreLongestFirstAndTheLastTakesEverythingWithTheSitesLimits) {
    conf::Config config = two();
    config.sites[0].limits.body_limit = 77;
    for (const char* prefix : {"/a", "/abc", "/b", "/"}) config.sites[0].routes.emplace_back().path_prefix = prefix;
    const Built built = build(config);
    ASSERT_TRUE(built.table) << built.problems;
    const auto& routes = built.table->sites[0].routes;
    ASSERT_EQ(routes.size(), 5U);
    const char* want[] = {"/abc", "/a", "/b", "/", "/"};
    for (std::size_t i = 0; i < routes.size(); ++i) EXPECT_EQ(routes[i].path_prefix, want[i]);
    EXPECT_EQ(routes.back().limits.body_limit, 77U);
    EXPECT_EQ(routes[3].limits.body_limit, 0U);
    EXPECT_EQ(routes.back().allowed, built.table->sites[0].members);
}

}  // namespace
}  // namespace nearhop::steering::test
