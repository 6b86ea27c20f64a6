#include "tests/conf/support.h"

#include <gtest/gtest.h>

namespace nearhop::conf {
namespace {

std::vector<Check> read(const std::string& checks) {
    const auto result = parse(base() + "health:\n  checks:\n" + checks, "f");
    EXPECT_EQ(all_lines(result.problems), "");
    return result.config ? result.config->origins[0].health.checks : std::vector<Check>{};
}

TEST(Checks, SayWhatNeedsThemInAWordAListOfPathsOrAMap) {
    const auto checks = read(
        "    cache: note\n"
        "    search: degraded\n"
        "    core: down\n"
        "    database: {needs: writes, max: {lag_seconds: 5, \"replicas behind\": 0.5, credit: -1000.5}}\n"
        "    storage: [/files/*, /upload]\n"
        "    mail: /mail/*\n"
        "    \"cassandra:responseTime\": {needs: [/c/*]}\n");
    ASSERT_EQ(checks.size(), 7U);
    EXPECT_EQ(checks[0].need, Need::note);
    EXPECT_EQ(checks[1].need, Need::degraded);
    EXPECT_EQ(checks[2].need, Need::down);
    EXPECT_EQ(checks[3].need, Need::writes);
    const std::vector<std::pair<std::string, double>> bounds{
        {"lag_seconds", 5}, {"replicas behind", 0.5}, {"credit", -1000.5}};
    EXPECT_EQ(checks[3].max, bounds);
    EXPECT_EQ(checks[4].need, Need::paths);
    EXPECT_EQ(checks[4].paths, (std::vector<std::string>{"/files/*", "/upload"}));
    EXPECT_EQ(checks[5].paths, std::vector<std::string>{"/mail/*"});
    EXPECT_EQ(checks[6].name, "cassandra:responseTime");
    EXPECT_EQ(checks[6].paths, std::vector<std::string>{"/c/*"});
}

TEST(Checks, AnOriginsOwnMapReplacesTheSharedOne) {
    const auto result = parse(
        "listen: 127.0.0.1:443\ntls: {certificate: c.pem, private_key: k.pem}\n"
        "health: {checks: {cache: note}}\n"
        "origins:\n"
        "  us: {url: 'https://us.example', health: {interval: 9s}}\n"
        "  eu: {url: 'https://eu.example', health: {checks: {db: writes, disk: down}}}\n"
        "  ap: {url: 'https://ap.example', health: {checks: {}}}\n",
        "f");
    ASSERT_TRUE(result.config) << all_lines(result.problems);
    EXPECT_EQ(result.config->origins[0].health.checks.size(), 1U);
    EXPECT_EQ(result.config->origins[1].health.checks[0].name, "db");
    EXPECT_EQ(result.config->origins[1].health.checks.size(), 2U);
    EXPECT_TRUE(result.config->origins[2].health.checks.empty());
}

TEST(Checks, ProblemsNameThePlaceAndTheLikelyWord) {
    struct Row {
        const char* yaml;
        const char* expect;
    };
    const std::string want = "want note or degraded or writes or down, or paths such as /files/*";
    const Row rows[] = {
        {"{db: write}",
         "want note or degraded or writes or down, or paths such as /files/*, found \"write\"; did you mean "
         "\"writes\"?"},
        {"{db: files/*}", "found \"files/*\""},
        {"{db: [/a*]}", "want a path such as /files/* (everything there) or /files (that one alone), found \"/a*\""},
        {"{db: [/a/*/b]}", "found \"/a/*/b\""},
        {"{db: ['/a?b']}", "found \"/a?b\""},
        {"{db: [writes]}", "found \"writes\""},
        {"{db: []}", "found an empty list"},
        {"{db: {max: {lag: 5}}}",
         "health.checks.db.needs: is missing: want note or degraded or writes or down, or paths"},
        {"{db: {need: writes}}", "health.checks.db.need: unknown key; did you mean \"needs\"?"},
        {"{db: {needs: writes, max: {lag: 5s}}}", "health.checks.db.max.lag: want a number, found \"5s\""},
        {"{db: {needs: writes, max: {lag: .inf}}}", "want a number"},
        {"{db: {needs: writes, max: 5}}", "want a map of the names of numbers to their bounds, found \"5\""},
        {"[db]", "health.checks: want a map of the names of checks to what needs them, found a list"},
        {"{db: }", "found nothing"},
        {"{a: note, b: note, c: note, d: note, e: note, f: note, g: note, h: note, i: note, j: note, k: note, l: note, "
         "m: note, n: note, o: note, p: note, q: note}",
         "want at most 16 checks, found 17"},
    };
    for (const auto& row : rows) {
        const auto result = parse(base() + "health: {checks: " + row.yaml + "}\n", "f");
        EXPECT_FALSE(result.config) << row.yaml;
        EXPECT_NE(all_lines(result.problems).find(row.expect), std::string::npos) << row.yaml << "\n"
                                                                                  << all_lines(result.problems);
    }
}

TEST(Checks, TheAgentsFieldIsOffUnlessNamed) {
    EXPECT_EQ(parse(base(), "f").config->origins[0].health.agent_header, "off");
    const auto named = parse(base() + "health: {agent_header: X-Origin-Health, agent_expiry: 30s}\n", "f");
    ASSERT_TRUE(named.config) << all_lines(named.problems);
    EXPECT_EQ(named.config->origins[0].health.agent_header, "X-Origin-Health");
    EXPECT_EQ(named.config->origins[0].health.agent_expiry, 30s);
    EXPECT_FALSE(parse(base() + "health: {agent_header: Content-Length}\n", "f").config);
    EXPECT_FALSE(parse(base() + "health: {agent_header: 'a b'}\n", "f").config);
}

}  // namespace
}  // namespace nearhop::conf
