#include "health/describe.h"

#include <gtest/gtest.h>

#include <set>

namespace nearhop::health {
namespace {

using namespace std::chrono_literals;

TEST(Describe, TellsAReasonAsAnOperatorReadsIt) {
    struct Row {
        Reason reason;
        unsigned status;
        CertificateProblem certificate;
        std::string_view text;
    };
    using enum CertificateProblem;
    const Row rows[] = {
        {Reason::refused, 0, none, "L4 refused"},
        {Reason::connect_timeout, 0, none, "L4 timeout"},
        {Reason::tls_certificate, 0, expired, "TLS expired certificate"},
        {Reason::tls_certificate, 0, wrong_name, "TLS certificate of another name"},
        {Reason::tls_certificate, 0, none, "TLS certificate refused"},
        {Reason::status, 503, none, "status 503"},
        {Reason::head_timeout, 0, none, "timeout in head"},
    };
    for (const auto& row : rows) EXPECT_EQ(reason_text(row.reason, row.status, row.certificate), row.text);
}

TEST(Describe, GivesEveryCodeItsOwnNameAndText) {
    std::set<std::string> names, texts;
    constexpr int last = static_cast<int>(Reason::operator_drain);
    for (int code = 0; code <= last; ++code) {
        names.emplace(name(static_cast<Reason>(code)));
        texts.emplace(reason_text(static_cast<Reason>(code)));
    }
    EXPECT_EQ(names.size(), last + 1u);
    EXPECT_EQ(texts.size(), last + 1u);
    EXPECT_FALSE(names.count("?"));
    EXPECT_FALSE(texts.count("?"));
    std::set<std::string_view> problems;
    for (int code = 0; code <= static_cast<int>(CertificateProblem::other); ++code)
        problems.insert(name(static_cast<CertificateProblem>(code)));
    EXPECT_EQ(problems.size(), 8u);
    EXPECT_FALSE(problems.count("?"));
}

TEST(Describe, WritesOneLinePerChange) {
    State up;
    up.verdict = Verdict::up;
    State down = up;
    down.verdict = Verdict::down;
    down.reason = Reason::refused;
    EXPECT_EQ(describe("eu-west-1", up, down), R"(origin=eu-west-1 verdict=down was=up reason="L4 refused")");
    EXPECT_EQ(describe("eu-west-1", up, down, "[2001:db8::1]:443"),
              R"(origin=eu-west-1 address=[2001:db8::1]:443 verdict=down was=up reason="L4 refused")");

    State ejected = up;
    ejected.ejected = true;
    ejected.ejections = 2;
    ejected.reason = Reason::connect_timeout;
    ejected.since = TimePoint{100s};
    ejected.ejected_until = TimePoint{120'400ms};
    EXPECT_EQ(describe("a", up, ejected),
              R"(origin=a verdict=up ejected=true ejected_s=20.4 ejections=2 reason="L4 timeout")");
    State back = up;
    back.reason = Reason::passed;
    EXPECT_EQ(describe("a", ejected, back), R"(origin=a verdict=up ejected=false reason="passed")");

    State draining = ejected;
    draining.draining = true;
    draining.reason = Reason::operator_drain;
    EXPECT_EQ(describe("a", ejected, draining),
              R"(origin=a verdict=up ejected=true draining=true reason="operator drain")");
    EXPECT_EQ(describe("a", draining, back), R"(origin=a verdict=up ejected=false draining=false reason="passed")");
}

TEST(Describe, LetsNoNameForgeAFieldOrALine) {
    EXPECT_EQ(describe("a\" verdict=up\nb", {}, {}),
              R"(origin="a\" verdict=up?b" verdict=unknown reason="not probed yet")");
    EXPECT_EQ(describe("", {}, {}), R"(origin="" verdict=unknown reason="not probed yet")");
}

}  // namespace
}  // namespace nearhop::health
