#include "proxy/exchange/answer.h"

#include <gtest/gtest.h>

namespace nearhop::exchange {
namespace {

bool json(std::string_view accept) {
    return answer_for(Fault::no_origin, accept, "id").fields.find("application/json") != std::string::npos;
}

TEST(Answer, IsJsonForWhoAsksForItFirst) {
    EXPECT_TRUE(json("application/json"));
    EXPECT_TRUE(json("application/json, text/plain, */*"));
    EXPECT_TRUE(json("application/problem+json"));
    EXPECT_TRUE(json("image/png, application/json;q=0.5"));
    EXPECT_FALSE(json(""));
    EXPECT_FALSE(json("*/*"));
    EXPECT_FALSE(json("text/html,application/xhtml+xml,application/json;q=0.9"));
}

TEST(Answer, NamesItsFaultThreeTimes) {
    for (std::size_t i = 1; i < account::fault_count; ++i) {
        const auto fault = static_cast<Fault>(i);
        for (const char* accept : {"application/json", "text/plain"}) {
            const auto answer = answer_for(fault, accept, "0123abc");
            EXPECT_EQ(answer.status, info(fault).status);
            EXPECT_NE(answer.fields.find("X-Nearhop-Fault: " + std::string{info(fault).code} + "\r\n"),
                      std::string::npos);
            EXPECT_NE(answer.fields.find("X-Request-Id: 0123abc\r\n"), std::string::npos);
            EXPECT_NE(answer.fields.find("Cache-Control: no-store\r\n"), std::string::npos);
            EXPECT_NE(answer.body.find(info(fault).code), std::string::npos);
            const bool was_served_perhaps = fault == Fault::edge_stopped;
            EXPECT_EQ(answer.fields.find("Retry-After") != std::string::npos,
                      (answer.status == 503 || answer.status == 429) && !was_served_perhaps);
            EXPECT_EQ(answer.fields.find("Allow: ") != std::string::npos, answer.status == 405);
            EXPECT_FALSE(reason_phrase(answer.status).empty() && answer.status != 499) << answer.status;
        }
    }
}

TEST(Answer, ClosesBehindARequestThatWasNotUnderstood) {
    EXPECT_TRUE(answer_for(Fault::client_bad_framing, "", "i").close);
    EXPECT_FALSE(answer_for(Fault::client_unknown_host, "", "i").close);
    EXPECT_FALSE(answer_for(Fault::client_untrusted, "", "i").close);
    EXPECT_FALSE(answer_for(Fault::client_rate_limited, "", "i").close);
    EXPECT_FALSE(answer_for(Fault::origin_refused, "", "i").close);
}

TEST(Answer, ClosesWhereTheEdgeItselfEndsOrFailed) {
    EXPECT_TRUE(answer_for(Fault::edge_stopped, "", "i").close);
    EXPECT_TRUE(answer_for(Fault::edge_internal, "", "i").close);
    EXPECT_FALSE(answer_for(Fault::edge_overloaded, "", "i").close);
}

TEST(Redirect, GoesToTheSameTargetOverHttps) {
    EXPECT_EQ(redirect_to_https("a.test", 443, "/x?y").fields, "Location: https://a.test/x?y\r\n");
    EXPECT_EQ(redirect_to_https("[::1]", 8443, "/").fields, "Location: https://[::1]:8443/\r\n");
    EXPECT_EQ(redirect_to_https("a.test", 443, "/").status, 308U);
}

TEST(Redirect, OfOptionsForTheWholeServerIsStillAUrl) {
    EXPECT_EQ(redirect_to_https("a.test", 443, "*").fields, "Location: https://a.test/\r\n");
}

}  // namespace
}  // namespace nearhop::exchange
