#include "health/body.h"

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
    return read_body(body, {std::move(checks), std::move(region)});
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
