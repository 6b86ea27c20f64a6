#include "proxy/steering/coverage.h"

#include "tests/proxy/steering/world.h"

namespace nearhop::steering::test {
namespace {

struct Checked {
    conf::Config config;
    std::shared_ptr<const Table> table;
    conf::Problems problems;

    explicit Checked(const std::string& site) {
        auto parsed = conf::parse(
            "listen: 127.0.0.1:0\ntls: {certificate: c.pem, private_key: k.pem}\n" + three_with(site), "test.yaml");
        EXPECT_TRUE(parsed.config);
        config = std::move(*parsed.config);
        table = build_table(config, problems);
        problems.clear();
        check_unserved(config, *table, problems);
    }
    std::string text() const {
        std::string all;
        for (const auto& problem : problems) all += conf::to_string(problem, "test.yaml") + "\n";
        return all;
    }
};

const std::string eu_only = "    policy: country\n    countries: {eu: {origins: [eu-west-1], only: true}}\n";

struct Case {
    std::string site;
    std::vector<std::string> parts;  ///< of the one problem; empty: there is none
};

TEST(Unserved, WhateverNoOriginMayServeIsAProblem) {
    const std::vector<Case> cases = {
        {"    policy: nearest\n", {}},
        {"    writes: us-east-1\n", {}},
        {eu_only, {}},
        {eu_only + "    writes: [us-east-1, eu-west-1]\n", {}},
        {eu_only + "    writes: us-east-1\n",
         {"error", "sites.main.countries.eu", "POST of AT, AX, BE and 31 more on the route /",
          "writes goes to us-east-1", "the row allows eu-west-1"}},
        {eu_only + "    writes: us-east-1\n    unserved: warning\n", {"warning", "sites.main.countries.eu"}},
        {eu_only + "    routes: [{path: /us, origins: [us-east-1]}]\n", {"GET, POST of AT", "route /us"}},
        {"    writes: us-east-1\n    routes: [{path: /static, origins: [eu-west-1]}]\n",
         {"sites.main.writes", "POST on the route /static"}},
        {"    writes: us-east-1\n    routes: [{path: /static, methods: [GET, HEAD], origins: [eu-west-1]}]\n", {}},
        // A route that no request reaches is no problem.
        {"    writes: us-east-1\n    routes: [{path: /a}, {path: /a, origins: [eu-west-1]}]\n", {}},
        {"    unlocated: {origins: [eu-west-1], only: true}\n    writes: us-east-1\n",
         {"sites.main.unlocated", "POST of ", "no known place"}},
    };
    for (const auto& [site, parts] : cases) {
        const Checked checked{site};
        EXPECT_EQ(checked.problems.size(), parts.empty() ? 0U : 1U) << site << checked.text();
        for (const auto& part : parts)
            EXPECT_NE(checked.text().find(part), std::string::npos) << part << checked.text();
    }
}

/// It says just what decide() does.
TEST(Unserved, AgreesWithTheDecisionForEveryCountryMethodAndRoute) {
    const Checked checked{eu_only +
                          "    writes: [us-east-1]\n    unserved: warning\n"
                          "    routes: [{path: /us, origins: [us-east-1]}, {path: /r, methods: [PUT]}]\n"};
    health::Table health;
    health.origins.resize(checked.table->origins.size());
    for (auto& origin : health.origins) origin.state.verdict = health::Verdict::up;
    const SiteTable& site = checked.table->sites[0];
    std::size_t gaps = 0;
    for (const ClientGroup& clients : client_groups(site))
        for (const Question& question : questions(site)) {
            Decision decision;
            const auto& path = site.routes[question.route].path_prefix;
            decide({.site = 0, .method = question.method, .path = path}, clients.example, *checked.table, health,
                   Local{}, Earlier{}, decision);
            EXPECT_EQ(decision.route, question.route);
            const bool served = may_serve(site, question, clients).any();
            EXPECT_EQ(decision.candidate_count != 0, served) << question.method << ' ' << path;
            gaps += served ? 0 : 1;
        }
    EXPECT_EQ(gaps, 4U);  // of the EU: GET and POST of /us, PUT of /r, POST of /
}

TEST(Alone, NamesTheFirstRequestThatNobodyElseMayServe) {
    const Checked checked{eu_only + "    writes: [us-east-1, eu-west-1]\n"};
    EXPECT_EQ(alone_for(1, checked.config, *checked.table), "GET / in site main for row eu");
    EXPECT_EQ(alone_for(2, checked.config, *checked.table), "");
    const Checked writer{"    writes: us-east-1\n"};
    EXPECT_EQ(alone_for(0, writer.config, *writer.table), "POST / in site main");
}

TEST(Residency, SaysWhereTheRequestsOfARowMayGo) {
    EXPECT_EQ(residency_text(Checked{"    policy: nearest\n"}.config, *Checked{"    policy: nearest\n"}.table), "");
    const Checked checked{eu_only + "    unlocated: {origins: [eu-west-1, us-east-1], only: true}\n"};
    EXPECT_EQ(residency_text(checked.config, *checked.table),
              "where requests of rows with only: true may go, over every method and route:\n"
              "  site main, eu (AT, AX, BE and 31 more): eu-west-1\n"
              "  site main, unlocated (no known place, continent:AF, continent:AN and 5 more): us-east-1, eu-west-1\n");
}

// Clients without a known place.

TEST(Unlocated, GoToTheListedOriginsUnderEveryPolicy) {
    const std::string rest = "    unlocated: [ap-southeast-1, eu-west-1]\n";
    for (const char* policy : {"    policy: nearest\n", "    policy: country\n    countries: {default: us-east-1}\n",
                               "    policy: failover\n", "    policy: latency\n"}) {
        World world{three_with(policy + rest)};
        EXPECT_EQ(world.candidates({}).substr(0, 45), "ap-southeast-1:unlocated eu-west-1:unlocated ") << policy;
        EXPECT_EQ(world.candidates(from("US")).find("unlocated"), std::string::npos) << policy;
    }
}

TEST(Unlocated, OnlyForbidsTheOthers) {
    World world{three_with("    unlocated: {origins: [eu-west-1], only: true}\n")};
    EXPECT_EQ(world.considered({}), "eu-west-1:unlocated us-east-1:forbidden_country ap-southeast-1:forbidden_country");
    EXPECT_EQ(world.candidates(from("US")).substr(0, 17), "us-east-1:nearest");
}

TEST(Unlocated, NearestToTheEdgeIsByWhatItMeasures) {
    World world{three_with("    unlocated: nearest_to_edge\n")};
    world.rtt("us-east-1", 90);
    world.rtt("eu-west-1", 200);
    world.rtt("ap-southeast-1", 3);
    EXPECT_EQ(world.candidates({}), "ap-southeast-1:lowest_latency us-east-1:next_latency eu-west-1:next_latency");
    EXPECT_EQ(world.candidates(from("DE")).substr(0, 17), "eu-west-1:nearest");
}

TEST(Unlocated, ARowOfTheCountryOrContinentIsBefore) {
    World world{
        three_with("    policy: country\n    countries: {continent:EU: eu-west-1}\n    unlocated: ap-southeast-1\n")};
    geo::Place europe;
    europe.continent = geo::Continent::europe;
    EXPECT_EQ(world.candidates(europe).substr(0, 21), "eu-west-1:country_map");
    EXPECT_EQ(world.candidates({}).substr(0, 24), "ap-southeast-1:unlocated");
}

// A default row, which turns nearness off.

TEST(DefaultRow, IsWarnedOfWithCountriesThatItSendsFarAway) {
    const World world{three_with("    policy: country\n    countries: {DE: eu-west-1, default: us-east-1}\n")};
    const std::string text = world.all_problems();
    for (const char* part : {"warning", "sites.main.countries.default", "GB to us-east-1 (", "not eu-west-1 (",
                             "JP to us-east-1", "more countries", "`unlocated`"})
        EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
    EXPECT_EQ(text.find("DE to"), std::string::npos) << text;
}

TEST(DefaultRow, IsNotWarnedOfWhereItSaysOnlyOrChangesNothing) {
    for (const char* row : {"{default: {origins: [us-east-1], only: true}}", "{DE: eu-west-1}"})
        EXPECT_EQ((World{three_with("    policy: country\n    countries: " + std::string{row} + "\n")}.all_problems()),
                  "");
}

}  // namespace
}  // namespace nearhop::steering::test
