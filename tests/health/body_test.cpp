#include "health/body.h"

#include "health/missing_checks.h"

#include <gtest/gtest.h>

namespace nearhop::health {
namespace {

using conf::Check;
using conf::Need;

Check check(std::string name, Need need = Need::writes) {
    return {.name = std::move(name), .need = need, .paths = {}, .max = {}};
}
Check bounded(std::string name, std::string number, double most) {
    auto made = check(std::move(name));
    made.max.emplace_back(std::move(number), most);
    return made;
}

BodyReading read(std::string_view body, std::vector<Check> checks, std::string region = {}) {
    return read_body(body, {.checks = std::move(checks), .region = std::move(region)});
}

struct StatusRow {
    std::string_view body;
    Finding found;
};

TEST(Body, ReadsTheStatusOfACheckInTheFormsThatAreInUse) {
    const StatusRow rows[] = {
        // the plain one, and its shortcuts
        {R"({"checks":{"db":{"status":"ok","lag_seconds":0.4},"cache":{"status":"fail"}}})", Finding::ok},
        {R"({"checks":{"db":"ok"}})", Finding::ok},
        {R"({"checks":{"db":"fail"}})", Finding::fail},
        {R"({"checks":{"db":true}})", Finding::ok},
        {R"({"checks":{"db":false}})", Finding::fail},
        {R"({"checks":{"db":{"status":true}}})", Finding::ok},
        {R"({"checks":{"db":{"status":"OK"}}})", Finding::ok},
        {R"({"checks":{"db":{"status":"error"}}})", Finding::fail},
        // draft-inadarei-api-health-check
        {R"({"status":"pass","checks":{"db":[{"componentId":"a","status":"pass"}]}})", Finding::ok},
        {R"({"status":"warn","checks":{"db":[{"status":"pass"},{"status":"warn"}]}})", Finding::warn},
        {R"({"status":"fail","checks":{"db":[{"status":"pass"},{"status":"fail"},{"status":"warn"}]}})", Finding::fail},
        // Spring Boot
        {R"({"status":"UP","components":{"db":{"status":"UP","details":{"database":"PostgreSQL"}}}})", Finding::ok},
        {R"({"status":"DOWN","components":{"db":{"status":"DOWN"},"ping":{"status":"UP"}}})", Finding::fail},
        {R"({"components":{"db":{"status":"OUT_OF_SERVICE"}}})", Finding::fail},
        // ASP.NET
        {R"({"status":"Degraded","entries":{"db":{"status":"Degraded","data":{}}}})", Finding::warn},
        {R"({"entries":{"db":{"status":"Unhealthy"}}})", Finding::fail},
        // MicroProfile
        {R"({"status":"UP","checks":[{"name":"disk","status":"DOWN"},{"name":"db","status":"UP"}]})", Finding::ok},
        {R"({"checks":[{"name":"db","status":"UP"},{"name":"db","status":"DOWN"}]})", Finding::fail},
        // Spring Boot 2.0 and NestJS Terminus, and other groups
        {R"({"status":"DOWN","details":{"db":{"status":"DOWN","details":{"error":"timeout"}}}})", Finding::fail},
        {R"({"status":"error","info":{},"error":{"db":{"status":"down"}},"details":{"db":{"status":"down"}}})",
         Finding::fail},
        {R"({"status":"Healthy","results":{"db":{"status":"Degraded"}}})", Finding::warn},
        {R"({"results":[{"name":"db","status":"Unhealthy"}]})", Finding::fail},
        {R"({"details":"all fine","results":{"db":"ok"}})", Finding::ok},
        {R"({"checks":{"db":"ok"},"details":{"db":"fail"}})", Finding::ok},
        // Spring Boot's composites
        {R"({"components":{"stores":{"status":"DOWN","components":{"db":{"status":"DOWN"}}}}})", Finding::fail},
        {R"({"components":{"a":{"components":{"b":{"components":{"db":{"status":"UP"}}}}}}})", Finding::ok},
        {R"({"components":{"a":{"components":{"db":"UP"}},"b":{"components":{"db":"DOWN"}}}})", Finding::fail},
        {R"({"components":{"db":{"status":"UP","components":{"db":{"status":"DOWN"}}}}})", Finding::ok},
        {R"({"components":{"a":{"status":"UP","details":{"db":"PostgreSQL"}}}})", Finding::missing},
        // a member that is there twice: the last one counts
        {R"({"checks":{"db":"fail","db":"ok"}})", Finding::ok},
        // what says nothing
        {R"({})", Finding::missing},
        {R"({"checks":{}})", Finding::missing},
        {R"({"checks":{"cache":"fail"}})", Finding::missing},
        {R"({"checks":null})", Finding::missing},
        {R"({"checks":"fail"})", Finding::missing},
        {R"({"checks":{"db":null}})", Finding::missing},
        {R"({"checks":{"db":""}})", Finding::missing},
        {R"({"checks":{"db":7}})", Finding::missing},
        {R"({"checks":{"db":{}}})", Finding::missing},
        {R"({"checks":{"db":{"status":1}}})", Finding::missing},
        {R"({"checks":{"db":{"status":{"status":"fail"}}}})", Finding::missing},
        {R"({"checks":{"db":[]}})", Finding::missing},
        {R"({"checks":{"db":[[{"status":"fail"}]]}})", Finding::missing},
        {R"({"checks":{"db":["fail"]}})", Finding::missing},
        {R"({"checks":{"DB":"fail"}})", Finding::missing},
        {R"({"checks":[{"name":7,"status":"DOWN"},{"status":"DOWN"},7]})", Finding::missing},
    };
    for (const auto& row : rows) {
        const auto reading = read(row.body, {check("db")});
        EXPECT_EQ(reading.reason, Reason::none) << row.body;
        EXPECT_TRUE(reading.findings.read) << row.body;
        EXPECT_EQ(name(reading.findings.of[0]), name(row.found)) << row.body;
    }
}

TEST(Body, TakesNoWordButTheKnownOnesForGood) {
    for (const char* good :
         {"ok", "OK", "pass", "Passed", "passing", "UP", "healthy", "true", "alive", "green", "available"})
        EXPECT_EQ(finding_of(good), Finding::ok) << good;
    for (const char* fair : {"warn", "WARNING", "Degraded", "yellow"})
        EXPECT_EQ(finding_of(fair), Finding::warn) << fair;
    for (const char* bad :
         {"fail", "down", "error", "critical", "unhealthy", "no", "okay?", "o", "UNKNOWN", "red", " ok"})
        EXPECT_EQ(finding_of(bad), Finding::fail) << bad;
}

TEST(Body, HoldsANumberToItsBoundAndTakesOneThatIsNotToldForBroken) {
    const StatusRow rows[] = {
        {R"({"checks":{"db":{"status":"ok","lag":5}}})", Finding::ok},
        {R"({"checks":{"db":{"status":"ok","lag":5.001}}})", Finding::fail},
        {R"({"checks":{"db":{"status":"ok","lag":-3}}})", Finding::ok},
        {R"({"checks":{"db":{"status":"warn","lag":1}}})", Finding::warn},
        {R"({"checks":{"db":{"status":"fail","lag":1}}})", Finding::fail},
        {R"({"checks":{"db":{"lag":1}}})", Finding::ok},
        {R"({"checks":{"db":{"lag":9}}})", Finding::fail},
        {R"({"checks":{"db":{"status":"ok"}}})", Finding::fail},
        {R"({"checks":{"db":{"status":"ok","lag":null}}})", Finding::fail},
        {R"({"checks":{"db":{"status":"ok","lag":"1"}}})", Finding::fail},
        {R"({"checks":{"db":{"status":"ok","lag":18446744073709551615}}})", Finding::fail},
        {R"({"checks":{"db":{"status":"ok","lag":1e400}}})", Finding::fail},
        {R"({"checks":{"db":{"status":"ok","lag":1e-400}}})", Finding::ok},
        {R"({"components":{"db":{"status":"UP","details":{"lag":2}}}})", Finding::ok},
        {R"({"components":{"db":{"status":"UP","details":{"lag":7}}}})", Finding::fail},
        {R"({"entries":{"db":{"status":"Healthy","data":{"lag":7}}}})", Finding::fail},
        {R"({"checks":{"db":[{"status":"pass","lag":1},{"status":"pass","lag":8}]}})", Finding::fail},
        // a check that is not there at all has no number to tell
        {R"({"checks":{}})", Finding::missing},
        {R"({"checks":[{"name":"cache","status":"UP"}]})", Finding::missing},
        // one that is there and tells none breaks the bound
        {R"({"checks":{"db":"ok"}})", Finding::fail},
        {R"({"checks":{"db":true}})", Finding::fail},
        {R"({"checks":{"db":""}})", Finding::fail},
        {R"({"checks":{"db":null}})", Finding::fail},
        {R"({"checks":{"db":1}})", Finding::fail},
        {R"({"checks":{"db":[]}})", Finding::fail},
        {R"({"checks":{"db":["ok",7]}})", Finding::fail},
        {R"({"checks":{"db":[{"status":"pass","lag":1},{"status":"pass"}]}})", Finding::fail},
        {R"({"checks":{"db":[{"status":"pass","lag":1}]}})", Finding::ok},
        {R"({"checks":[{"name":"db","status":"UP"}]})", Finding::fail},
        {R"({"checks":[{"name":"db","status":"UP","data":{"lag":1}}]})", Finding::ok},
    };
    for (const auto& row : rows)
        EXPECT_EQ(name(read(row.body, {bounded("db", "lag", 5)}).findings.of[0]), name(row.found)) << row.body;
}

TEST(Body, FailsTheProbeForWhatIsNoJsonMapOnlyWhereChecksNeedIt) {
    const std::string deep = R"({"checks":)" + std::string(40, '[') + std::string(40, ']') + "}";
    for (const std::string& body : {std::string{}, std::string{"ok"}, std::string{"[]"}, std::string{"7"},
                                    std::string{"{\"checks\":{\"db\":\"ok\"}"}, std::string{"{} {}"},
                                    std::string{"{\"a\":\"\xff\"}"}, std::string{"{\"a\":NaN}"}, deep}) {
        const auto reading = read(body, {check("db")}, "eu-west-1");
        EXPECT_EQ(reading.reason, Reason::bad_body) << body;
        EXPECT_FALSE(reading.findings.read) << body;
        EXPECT_EQ(read(body, {}, "eu-west-1").reason, Reason::none) << body;
    }
}

TEST(Body, IsReadWhereItBeginsLikeJsonAndSomethingIsAskedOfItAndElseItSaysWhyNot) {
    struct Row {
        std::string_view what;
        std::string body;
        BodyKind kind;
        Reason reason;
        Finding found;
        std::string_view detail;  ///< of a body that is not looked at
    };
    const std::string fails = R"({"checks":{"db":"fail"}})";
    const BodyKind text{.json = false, .type = "text/plain"}, none{.json = false};
    const auto core = Reason::check_failed;
    const Row rows[] = {
        {"declared", fails, {}, core, Finding::fail, ""},
        {"what Go sends", fails, text, core, Finding::fail, ""},
        {"no type", fails, none, core, Finding::fail, ""},
        {"white space before it", " \r\n\t" + fails, text, core, Finding::fail, ""},
        {"a UTF-8 mark", "\xef\xbb\xbf" + fails, {}, core, Finding::fail, ""},
        {"a UTF-8 mark, undeclared", "\xef\xbb\xbf" + fails, text, core, Finding::fail, ""},
        {"coded",
         fails,
         {.coding = "gzip"},
         Reason::none,
         Finding::missing,
         "its content is coded (gzip), although the probe asked for none"},
        {"compressed, and no field says so",
         "\x1f\x8b\x08",
         {},
         Reason::none,
         Finding::missing,
         "it is compressed, although the probe asked for no coding"},
        {"a word", "ok", text, Reason::none, Finding::missing, "it is not JSON but text/plain"},
        {"a page",
         "<html>{}</html>",
         {.json = false, .type = "text/html"},
         Reason::none,
         Finding::missing,
         "it is not JSON but text/html"},
        {"a type that is no text",
         "ok",
         {.json = false, .type = "a\x80\n"},
         Reason::none,
         Finding::missing,
         "it is not JSON but a??"},
        {"a word without a type", "ok", none, Reason::none, Finding::missing, "it has no type and is not a JSON map"},
        {"a list", "[]", text, Reason::none, Finding::missing, "it is not JSON but text/plain"},
        {"nothing", "", none, Reason::none, Finding::missing, "it is empty"},
        {"half of it", "{\"checks\":", text, Reason::none, Finding::missing,
         "it begins like JSON but is not (incomplete JSON)"},
        {"half of what was declared",
         "{\"checks\":",
         {},
         Reason::bad_body,
         Finding::missing,
         "the body is declared as JSON: incomplete JSON"},
    };
    for (const auto& row : rows) {
        const auto reading = read_body(row.body, {.checks = {check("db", Need::down)}, .region = {}}, row.kind);
        EXPECT_EQ(name(reading.reason), name(row.reason)) << row.what;
        EXPECT_EQ(name(reading.findings.of[0]), name(row.found)) << row.what;
        const bool unread = row.reason == Reason::none;
        EXPECT_EQ(reading.unread, unread) << row.what;
        EXPECT_EQ(reading.findings.read, row.reason != Reason::bad_body) << row.what << ": a check of before is gone";
        const std::string why = unread ? "the body was not read: " : "";
        const std::string told = row.detail.empty() ? "check db" : why + std::string{row.detail};
        EXPECT_EQ(reading.detail, told) << row.what;
    }
}

TEST(Body, OfARegionIsReadWhereItIsDeclaredOrTheOperatorAskedForIt) {
    const std::string other = R"({"region":"us-east-1"})";
    const BodyKind text{.json = false, .type = "text/plain"};
    const BodyRules by_default{.checks = {}, .region = "eu-west-1"};
    const BodyRules asked{.checks = {}, .region = "eu-west-1", .region_asked = true};
    EXPECT_EQ(read_body(other, by_default).reason, Reason::wrong_region);
    EXPECT_EQ(read_body(other, by_default, text).reason, Reason::none);
    EXPECT_FALSE(read_body("ok", by_default, text).unread) << "nobody counts on it";
    EXPECT_FALSE(read_body("no", by_default).unread);
    EXPECT_EQ(read_body(other, asked, text).reason, Reason::wrong_region);
    EXPECT_TRUE(read_body("ok", asked, text).unread);
    EXPECT_TRUE(read_body("no", asked).unread);
    EXPECT_FALSE(read_body("ok", asked, text).findings.read);
}

TEST(Body, ChecksThatNoBodyTellsOfAreNamedOnceAfterAFewBodies) {
    struct Row {
        std::string_view bodies;  ///< of three checks: which of them each tells, 0: none
        std::vector<CheckSet> missing;
    };
    const auto findings = [](char told) {
        Findings made{.read = true};
        for (std::size_t i = 0; i < 3; ++i)
            if ((told - '0') >> i & 1) made.of[i] = Finding::ok;
        return made;
    };
    const Row rows[] = {
        {"7777", {0, 0, 0, 0}}, {"5555", {0, 0, 2, 0}}, {"0000", {0, 0, 7, 0}},
        {"0012", {0, 0, 6, 0}}, {"1247", {0, 0, 0, 0}},
    };
    for (const auto& row : rows) {
        MissingChecks missing;
        for (std::size_t i = 0; i < row.bodies.size(); ++i)
            EXPECT_EQ(missing.look(findings(row.bodies[i]), 3, 3), row.missing[i]) << row.bodies << ' ' << i;
    }
}

TEST(Body, NamesItsRegionOrLeavesItOut) {
    struct Row {
        std::string_view body, want;
        Reason reason;
    };
    const Row rows[] = {
        {R"({"region":"eu-west-1"})", "eu-west-1", Reason::none},
        {R"({"region":"EU-West-1"})", "eu-west-1", Reason::none},
        {R"({"region":"us-east-1"})", "eu-west-1", Reason::wrong_region},
        {R"({"region":""})", "eu-west-1", Reason::wrong_region},
        {R"({"region":7})", "eu-west-1", Reason::none},
        {R"({"region":null})", "eu-west-1", Reason::none},
        {R"({})", "eu-west-1", Reason::none},
        {R"({"region":"us-east-1"})", "", Reason::none},
        {R"({"checks":{"region":"us-east-1"}})", "eu-west-1", Reason::none},
    };
    for (const auto& row : rows)
        EXPECT_EQ(name(read(row.body, {}, std::string{row.want}).reason), name(row.reason)) << row.body;

    const auto other =
        read("{\"region\":\"us\\u0000east\\n\",\"checks\":{\"db\":\"fail\"}}", {check("db")}, "eu-west-1");
    EXPECT_EQ(other.reason, Reason::wrong_region);
    EXPECT_FALSE(other.findings.read) << "what another region's checks say is no news of this one";
    EXPECT_EQ(other.detail, "the body names the region us?east?, want eu-west-1");
}

TEST(Body, FailsTheProbeWhenACheckFailsThatTheWholeOriginNeeds) {
    const std::vector<Check> checks{check("cache", Need::note), check("disk", Need::down), check("core", Need::down)};
    EXPECT_EQ(read(R"({"checks":{"cache":"fail","disk":"ok","core":"warn"}})", checks).reason, Reason::none);
    const auto reading = read(R"({"checks":{"cache":"fail","disk":"fail","core":"fail"}})", checks);
    EXPECT_EQ(reading.reason, Reason::check_failed);
    EXPECT_EQ(reading.detail, "check disk, core");
    EXPECT_TRUE(reading.findings.read);
    EXPECT_EQ(reading.findings.of[0], Finding::fail);
}

TEST(Body, ReadsAnAgentsWordInAnyCaseAndNothingElse) {
    EXPECT_EQ(agent_word("drain"), Agent::drain);
    EXPECT_EQ(agent_word("DRAIN"), Agent::drain);
    EXPECT_EQ(agent_word("degraded"), Agent::degraded);
    EXPECT_EQ(agent_word("Up"), Agent::up);
    for (const char* other : {"", "none", "draining", "drain, up", "up;q=1", "down", "0"})
        EXPECT_EQ(agent_word(other), std::nullopt) << other;
}

}  // namespace
}  // namespace nearhop::health
