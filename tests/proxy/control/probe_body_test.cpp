#include "proxy/control/origin_watch.h"
#include "proxy/control/probe.h"
#include "tests/proxy/control/support.h"

#include <gtest/gtest.h>

#include <string>

/// Health bodies in JSON, and what an origin says of itself, as a probe reads them from the wire.
namespace nearhop::control {
namespace {

using namespace std::chrono_literals;
using health::Agent;
using health::Finding;
using health::Reason;

loop::Task<> probe_once(loop::Loop& loop, const shared::Endpoint& endpoint, std::shared_ptr<const ProbePlan> plan,
                        ProbeOutcome& outcome) {
    Prober prober{loop, endpoint};
    outcome = co_await prober.probe(std::move(plan));
}

ProbeOutcome probe(const std::string& answer, const conf::Probe& settings, const std::string& region = "eu-west-1") {
    ScriptedOrigin origin{[&answer](Peer& peer) {
        peer.read_head();
        peer.send(answer);
    }};
    shared::OriginInfo info;
    info.tls = false;
    info.host = info.host_field = "origin.test";
    info.region = region;
    if (settings.agent_header != "off") info.agent_header = settings.agent_header;
    loop::Loop loop;
    ProbeOutcome outcome;
    EXPECT_TRUE(drive(loop, probe_once(loop, endpoint_of(*geo::Address::parse("127.0.0.1"), origin.port()),
                                       std::make_shared<const ProbePlan>(info, settings), outcome)));
    return outcome;
}

std::string answer(const std::string& body, const std::string& type = "application/json",
                   const std::string& more = "") {
    return "HTTP/1.1 200 OK\r\nContent-Type: " + type + "\r\n" + more +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

conf::Probe with_check(conf::Need need = conf::Need::writes) {
    conf::Probe settings;
    settings.timeout.value = 5s;
    settings.checks = {{"db", need, {}, {}}};
    return settings;
}

TEST(ProbeBody, IsReadUnderAnyTypeAndHasToBeJsonWhereItIsDeclaredSo) {
    const struct {
        const char* type;
        bool declared;
    } rows[] = {{"application/json", true},
                {"Application/JSON; charset=utf-8", true},
                {"application/health+json", true},
                {"application/json \t;x", true},
                {"text/plain", false},
                {"text/json", false},
                {"+json", false},
                {"application/jsonp", false},
                {"", false}};
    for (const auto& row : rows) {
        const auto read = probe(answer(R"({"checks":{"db":"fail"}})", row.type), with_check());
        EXPECT_TRUE(read.result.passed) << row.type;
        EXPECT_TRUE(read.result.checks.read) << row.type;
        EXPECT_EQ(read.result.checks.of[0], Finding::fail) << row.type;
        const auto other = probe(answer("all is well", row.type), with_check());
        EXPECT_EQ(other.result.passed, !row.declared) << row.type;
        EXPECT_EQ(other.result.checks.of[0], Finding::missing) << row.type;
    }
}

TEST(ProbeBody, InChunksIsTheSame) {
    const auto outcome = probe(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        "b\r\n{\"checks\":{\r\nd\r\n\"db\":\"fail\"}}\r\n0\r\n\r\n",
        with_check());
    EXPECT_EQ(name(outcome.result.reason), name(Reason::passed)) << outcome.detail;
    EXPECT_EQ(outcome.result.checks.of[0], Finding::fail);
}

TEST(ProbeBody, FailsTheProbeForItsReasons) {
    conf::Probe plain;
    EXPECT_EQ(probe(answer("{"), with_check()).result.reason, Reason::bad_body);
    EXPECT_EQ(probe(answer("{"), plain).result.reason, Reason::passed) << "nothing was asked of it";
    EXPECT_EQ(probe(answer(R"({"region":"us-east-1"})"), plain).result.reason, Reason::wrong_region);
    EXPECT_EQ(probe(answer(R"({"region":"us-east-1"})"), plain, "").result.reason, Reason::passed);
    EXPECT_EQ(probe(answer(R"({"checks":{"db":"fail"}})"), with_check(conf::Need::down)).result.reason,
              Reason::check_failed);

    conf::Probe other = with_check();
    other.expect_region = "Frankfurt";
    EXPECT_EQ(probe(answer(R"({"region":"frankfurt"})"), other).result.reason, Reason::passed);
    EXPECT_EQ(probe(answer(R"({"region":"eu-west-1"})"), other).result.reason, Reason::wrong_region);
    other.expect_region = "off";
    EXPECT_EQ(probe(answer(R"({"region":"eu-west-1"})"), other).result.reason, Reason::passed);
}

TEST(ProbeBody, AboveItsLimitIsNoJson) {
    auto settings = with_check();
    settings.body_limit = 1024;
    const auto padded = [](std::size_t size) {
        std::string body = R"({"checks":{"db":"fail"}})";
        return body + std::string(size - body.size(), ' ');
    };
    EXPECT_EQ(probe(answer(padded(1024)), settings).result.reason, Reason::passed);
    std::string cut = padded(2048);
    cut.back() = '}';
    cut[23] = ' ';
    EXPECT_EQ(probe(answer(cut), settings).result.reason, Reason::bad_body);
}

TEST(ProbeBody, AnOriginsOwnWordIsHeardInAnyAnswerWhereItIsBelieved) {
    auto settings = with_check();
    settings.agent_header = "X-Origin-Health";
    EXPECT_EQ(probe(answer("{}", "text/plain", "x-origin-health: Drain\r\n"), settings).agent, Agent::drain);
    EXPECT_EQ(probe(answer("{}", "text/plain", "X-Origin-Health: up\r\nX-Origin-Health: degraded\r\n"), settings).agent,
              Agent::degraded);
    EXPECT_EQ(probe(answer("{}", "text/plain", "X-Origin-Health: maybe\r\n"), settings).agent, Agent::none);
    const auto failed = probe("HTTP/1.1 503 No\r\nX-Origin-Health: drain\r\nContent-Length: 0\r\n\r\n", settings);
    EXPECT_EQ(failed.agent, Agent::drain);
    EXPECT_EQ(failed.result.reason, Reason::status);
    settings.agent_header = "off";
    EXPECT_EQ(probe(answer("{}", "text/plain", "X-Origin-Health: drain\r\n"), settings).agent, Agent::none);
}

}  // namespace
}  // namespace nearhop::control
