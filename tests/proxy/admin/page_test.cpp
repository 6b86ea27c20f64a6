#include "proxy/admin/page.h"

#include "proxy/admin/query.h"
#include "tests/proxy/admin/world.h"

#include <boost/json.hpp>
#include <gtest/gtest.h>

#include <string>

namespace nearhop::admin {
namespace {

namespace json = boost::json;
using test::World;

json::value parsed(const Page& page) { return json::parse(page.body); }

TEST(Page, AnswersEachRouteByItsMethod) {
    World world;
    const struct {
        const char *method, *target;
        unsigned status;
    } cases[] = {
        {"GET", "/", 200},         {"GET", "/metrics", 200},
        {"HEAD", "/metrics", 200}, {"GET", "/livez", 200},
        {"GET", "/readyz", 200},   {"GET", "/status", 200},
        {"GET", "/explain", 400},  {"GET", "/explain?country=DE", 200},
        {"GET", "/nothing", 404},  {"POST", "/nothing", 404},
        {"GET", "/metrics/", 404}, {"DELETE", "/metrics", 405},
        {"POST", "/livez", 405},   {"GET", "/reload", 405},
        {"HEAD", "/reload", 405},  {"POST", "/reload", 401},
        {"get", "/metrics", 405},  {"GET", "", 404},
        {"GET", "*", 404},         {"GET", "/metrics?x=y", 200},
    };
    for (const auto& [method, target, status] : cases)
        EXPECT_EQ(world.ask(method, target).status, status) << method << " " << target;
    EXPECT_EQ(world.reloads, 0);
}

TEST(Page, SaysNothingAtAllToAnAddressThatIsNotAllowed) {
    World world;
    for (const char* target : {"/", "/metrics", "/livez", "/readyz", "/status", "/explain?country=DE", "/nothing"})
        EXPECT_EQ(world.ask("GET", target, {}, false).status, 403u) << target;
    EXPECT_EQ(world.ask("POST", "/reload", "Bearer let-me-in", false).status, 403u);
    EXPECT_EQ(world.reloads, 0);
}

TEST(Page, AllowsLoopbackUnlessAddressesAreNamed) {
    const struct {
        std::vector<std::string> allow;
        const char* peer;
        bool allowed;
    } cases[] = {
        {{}, "127.0.0.1", true},
        {{}, "127.9.9.9", true},
        {{}, "::1", true},
        {{}, "10.0.0.1", false},
        {{}, "::", false},
        {{"10.0.0.0/8"}, "10.1.2.3", true},
        {{"10.0.0.0/8"}, "11.1.2.3", false},
        {{"10.0.0.0/8"}, "127.0.0.1", true},
        {{"10.0.0.0/8"}, "::1", true},
        {{"10.0.0.0/8", "2001:db8::/32"}, "2001:db8::1", true},
    };
    for (const auto& [allow, peer, allowed] : cases) {
        conf::Admin admin;
        for (const auto& text : allow) admin.allow.push_back({text});
        EXPECT_EQ(is_allowed(admin, *geo::Address::parse(peer)), allowed) << peer;
    }
}

TEST(Page, IsForLoopbackUnlessTheConfigurationSaysOtherwise) {
    conf::Admin admin;
    admin.allow = {{"10.0.0.0/8"}, {"127.0.0.2/32"}};
    admin.allow_loopback = false;
    EXPECT_FALSE(is_allowed(admin, *geo::Address::parse("127.0.0.1")));
    EXPECT_FALSE(is_allowed(admin, *geo::Address::parse("::1")));
    EXPECT_TRUE(is_allowed(admin, *geo::Address::parse("127.0.0.2"))) << "who is listed";
    EXPECT_TRUE(is_allowed(admin, *geo::Address::parse("10.0.0.1")));
}

TEST(Page, IsReadyWhenTheSnapshotIs) {
    World world;
    world.snapshot.ready = false;
    EXPECT_EQ(world.ask("GET", "/readyz").status, 503u);
    EXPECT_EQ(world.ask("GET", "/livez").status, 200u);
}

TEST(Page, IsNotReadyWhileTheEdgeRefusesEverybody) {
    World world;
    world.registry.capacity.set({.sessions = 100, .requests = 10});
    EXPECT_EQ(world.ask("GET", "/readyz").status, 200u);
    EXPECT_EQ(parsed(world.ask("GET", "/status")).at("at_limits"), false);
    world.registry.capacity.add_requests(10);
    EXPECT_EQ(world.ask("GET", "/readyz").body, "not ready: at its limits\n");
    EXPECT_EQ(world.ask("GET", "/readyz").status, 503u);
    EXPECT_EQ(parsed(world.ask("GET", "/status")).at("ready"), false);
    EXPECT_EQ(parsed(world.ask("GET", "/status")).at("at_limits"), true);
    world.registry.capacity.add_requests(-10);
    EXPECT_EQ(world.ask("GET", "/readyz").status, 200u);
}

TEST(Page, ReloadsForTheTokenOnly) {
    const struct {
        const char* authorization;
        unsigned status;
    } cases[] = {{"Bearer let-me-in", 200},
                 {"bearer let-me-in", 200},
                 {"", 401},
                 {"Bearer", 401},
                 {"Bearer ", 401},
                 {"Bearer let-me-iN", 401},
                 {"Bearer let-me-in ", 401},
                 {"Basic let-me-in", 401},
                 {"let-me-in", 401}};
    for (const auto& [authorization, status] : cases) {
        World world;
        EXPECT_EQ(world.ask("POST", "/reload", authorization).status, status) << authorization;
        EXPECT_EQ(world.reloads, status == 200 ? 1 : 0) << authorization;
    }
}

TEST(Page, ReloadsWithoutParametersOnly) {
    World world;
    const auto page = world.ask("POST", "/reload?dry=1", "Bearer let-me-in");
    EXPECT_EQ(page.status, 400u);
    EXPECT_EQ(page.body, "unknown parameter \"dry\"\n");
    EXPECT_EQ(world.reloads, 0);
}

TEST(Page, RefusesReloadsWhereNoTokenIsConfigured) {
    std::string yaml = test::three_regions;
    yaml.replace(yaml.find(", token: let-me-in"), 18, "");
    World world{yaml};
    for (const char* authorization : {"", "Bearer ", "Bearer x"})
        EXPECT_EQ(world.ask("POST", "/reload", authorization).status, 403u);
    EXPECT_EQ(world.reloads, 0);
}

TEST(Page, TellsWhyAReloadFailed) {
    World world;
    world.reload_result = {.ok = false, .problems = {{conf::Severity::error, {3, 5}, "origins", "want an origin"}}};
    const auto page = world.ask("POST", "/reload", "Bearer let-me-in");
    EXPECT_EQ(page.status, 422u);
    EXPECT_EQ(parsed(page).at("ok"), false);
    EXPECT_EQ(parsed(page).at("problems").at(0), "test.yaml:3:5: error: origins: want an origin");
}

TEST(Page, StatusTellsVerdictReasonAddressAndProbeOfEachOrigin) {
    World world;
    auto& origin = world.status.origins[1];
    origin.state.verdict = health::Verdict::down;
    origin.state.reason = health::Reason::status;
    origin.state.status = 503;
    origin.state.since = health::Clock::now();
    origin.addresses[0].state = origin.state;
    origin.addresses[0].probed = true;
    origin.addresses[0].last.result = {.passed = false, .reason = health::Reason::status, .status = 503};
    origin.addresses[0].last.phases.connect = 0.002;
    origin.addresses[0].last.detail = "caf\xe9";
    origin.by_name = true;
    world.status.origins[2].rtt_ms = 2.054513;
    origin.resolve_error = "no such name";
    world.registry.worker(0).sessions_opened.add(5);
    world.registry.worker(1).sessions_opened.add(1);
    world.registry.worker(0).sessions_closed.add(2);

    world.status.origins[2].state.on_trial = true;

    const auto status = parsed(world.ask("GET", "/status"));
    EXPECT_EQ(status.at("ready"), true);
    const auto& told = status.at("origins").at(1);
    EXPECT_EQ(told.at("name"), "eu-west-1");
    EXPECT_EQ(told.at("verdict"), "down");
    EXPECT_EQ(told.at("reason"), "status 503");
    EXPECT_EQ(told.at("since").as_string().size(), 20u);
    EXPECT_EQ(told.at("on_trial"), false);
    EXPECT_EQ(status.at("origins").at(2).at("on_trial"), true);
    EXPECT_TRUE(told.at("rtt_ms").is_null());
    EXPECT_EQ(told.at("dns").at("error"), "no such name");
    EXPECT_EQ(told.at("addresses").at(0).at("address"), "127.0.0.1:2");
    EXPECT_EQ(told.at("addresses").at(0).at("last_probe").at("result"), "status 503");
    EXPECT_EQ(told.at("addresses").at(0).at("last_probe").at("connect_s"), 0.002);
    EXPECT_TRUE(told.at("addresses").at(0).at("last_probe").at("tls_s").is_null());
    EXPECT_EQ(told.at("addresses").at(0).at("last_probe").at("detail"), "caf?");
    EXPECT_TRUE(status.at("origins").at(0).at("dns").is_null());
    EXPECT_EQ(status.at("sites").at(0).at("origins").as_array().size(), 3u);
    EXPECT_EQ(status.at("geo_databases").at(0).at("name"), "embedded");
    EXPECT_EQ(status.at("geo_databases").at(0).at("old").as_bool(),
              status.at("geo_databases").at(0).at("age_days").as_int64() >= 45);
    EXPECT_EQ(status.at("sessions").at("open"), 4);
    EXPECT_EQ(status.at("sessions").at("total"), 6);
    const auto text = world.ask("GET", "/status").body;
    EXPECT_NE(text.find(R"("rtt_ms":2.05,)"), std::string::npos) << text;
    EXPECT_EQ(text.find("let-me-in"), std::string::npos) << "the token is nobody's business";
}

TEST(Page, ExplainsByLiveHealth) {
    World world;
    auto page = world.ask("GET", "/explain?country=DE&host=api.example.com");
    EXPECT_EQ(parsed(page).at("candidates").at(0).at("origin"), "eu-west-1");
    EXPECT_EQ(parsed(page).at("health"), "live");

    auto health = std::make_shared<health::Table>(*world.snapshot.health);
    health->origins[1].state.verdict = health::Verdict::down;
    world.snapshot.health = health;
    page = world.ask("GET", "/explain?country=DE&host=api.example.com");
    EXPECT_EQ(parsed(page).at("candidates").at(0).at("origin"), "us-east-1");
    const auto text = world.ask("GET", "/explain?country=DE&format=text");
    EXPECT_EQ(text.type, "text/plain; charset=utf-8");
    EXPECT_NE(text.body.find("eu-west-1"), std::string::npos);
}

TEST(Page, ExplainsWhatItUnderstandsAndRefusesTheRest) {
    World world;
    const struct {
        const char* query;
        unsigned status;
        const char* country;  ///< found; nullptr: not looked at
    } cases[] = {
        {"country=de", 200, "DE"},
        {"country=US-CA", 200, "US"},
        {"ip=133.11.1.1", 200, "JP"},
        {"ip=%3a%3affff%3a133.11.1.1", 200, "JP"},
        {"ip=10.0.0.1", 200, nullptr},
        {"lat=48.85&lon=2.35", 200, nullptr},
        {"lat=48.85&lon=2.35&country=FR", 200, "FR"},
        {"country=DE&host=unknown.test", 200, "DE"},
        {"", 400, nullptr},
        {"host=api.example.com", 400, nullptr},
        {"country=DEU", 400, nullptr},
        {"country=%00", 400, nullptr},
        {"ip=nonsense", 400, nullptr},
        {"ip=1.2.3.4:80", 400, nullptr},
        {"lat=1", 400, nullptr},
        {"lon=1", 400, nullptr},
        {"lat=91&lon=0", 400, nullptr},
        {"lat=0&lon=181", 400, nullptr},
        {"lat=nan&lon=1", 400, nullptr},
        {"lat=1x&lon=1", 400, nullptr},
        {"country=DE&country=FR", 400, nullptr},
        {"country=DE&hots=api.example.com", 400, nullptr},
        {"country=DE&path=/a?b=c&d=e", 400, nullptr},
    };
    for (const auto& [query, status, country] : cases) {
        const auto page = world.ask("GET", std::string{"/explain?"} + query);
        EXPECT_EQ(page.status, status) << query << ": " << page.body;
        if (!country) continue;
        EXPECT_EQ(parsed(page).at("place").at("country"), country) << query;
    }
}

TEST(Page, ExplainCutsTheQueryOffThePathAndAsksForTheRootWithoutOne) {
    World world;
    EXPECT_EQ(parsed(world.ask("GET", "/explain?country=DE&path=/a%3Fb=c&method=POST")).at("path"), "/a");
    EXPECT_EQ(parsed(world.ask("GET", "/explain?country=DE")).at("path"), "/");
    EXPECT_EQ(parsed(world.ask("GET", "/explain?country=DE")).at("method"), "GET");
    EXPECT_EQ(parsed(world.ask("GET", "/explain?country=DE")).at("host"), "api.example.com") << "the first site's";
}

TEST(Query, DecodesTheFirstValueOfAKey) {
    const struct {
        const char *query, *key, *value;
    } cases[] = {{"a=1&b=2", "b", "2"}, {"a=1&a=2", "a", "1"}, {"a=x%20y+z", "a", "x y z"},
                 {"a=%4", "a", "%4"},   {"a=%zz", "a", "%zz"}, {"a", "a", ""},
                 {"", "a", ""},         {"aa=1", "a", ""},     {"%61=1", "a", "1"},
                 {"a=b=c", "a", "b=c"}, {"&&a=1&&", "a", "1"}, {"a=%41%42%", "a", "AB%"}};
    for (const auto& [query, key, value] : cases) EXPECT_EQ(query_value(query, key), value) << query;
}

}  // namespace
}  // namespace nearhop::admin
