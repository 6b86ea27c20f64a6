#include "proxy/message/location.h"

#include "tests/support/rows.h"

#include <gtest/gtest.h>

#include <string>

namespace nearhop::message {
namespace {

struct Row {
    const char* name;
    const char* value;
    const char* rewritten;  ///< empty: it stays
    bool secure = true;
    const char* host_sent = "alb.internal";
    const char* authority = "www.test";
};
using tests::PrintTo;

struct Locations : testing::TestWithParam<Row> {};
TEST_P(Locations, UnderTheHostThatTheOriginWasAskedWithBecomeTheClients) {
    const auto& row = GetParam();
    EXPECT_EQ(rewritten_location(row.value, row.host_sent, row.authority, row.secure), row.rewritten);
}
INSTANTIATE_TEST_SUITE_P(
    Table, Locations,
    testing::Values(
        Row{"Https", "https://alb.internal/a?b#c", "https://www.test/a?b#c"},
        Row{"HttpOfATlsClient", "http://alb.internal/a", "https://www.test/a"},
        Row{"HttpOfAPlainClient", "http://alb.internal/a", "http://www.test/a", false},
        Row{"HttpsOfAPlainClient", "https://alb.internal/a", "https://www.test/a", false},
        Row{"AnyCase", "HTTPS://ALB.Internal/a", "https://www.test/a"},
        Row{"NoPath", "https://alb.internal", "https://www.test"},
        Row{"QueryOnly", "https://alb.internal?a", "https://www.test?a"},
        Row{"DefaultPort", "https://alb.internal:443/a", "https://www.test/a"},
        Row{"DefaultPortSent", "https://alb.internal/a", "https://www.test/a", true, "alb.internal:443"},
        Row{"PortSent", "https://alb.internal:8443/a", "https://www.test/a", true, "alb.internal:8443"},
        Row{"ClientsPort", "https://alb.internal/a", "https://www.test:8443/a", true, "alb.internal", "www.test:8443"},
        Row{"ClientsPlainPort", "https://alb.internal/a", "https://www.test/a", false, "alb.internal", "www.test:8080"},
        Row{"ClientsAddress", "https://alb.internal/a", "https://[::1]:8443/a", true, "alb.internal", "[::1]:8443"},
        Row{"OtherPort", "https://alb.internal:8443/a", ""}, Row{"OtherHost", "https://login.test/a", ""},
        Row{"LongerHost", "https://alb.internal.evil.test/a", ""}, Row{"User", "https://alb.internal@evil.test/a", ""},
        Row{"UserOfOurs", "https://evil.test@alb.internal/a", ""}, Row{"Path", "/a", ""}, Row{"Relative", "a", ""},
        Row{"NoScheme", "//alb.internal/a", ""}, Row{"OtherScheme", "ftp://alb.internal/a", ""}, Row{"Empty", "", ""},
        Row{"NoHostOfTheClient", "https://alb.internal/a", "", true, "alb.internal", ""}),
    [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace nearhop::message
