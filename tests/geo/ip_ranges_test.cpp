#include "geo/ip_ranges.h"

#include "tests/geo/support.h"
#include "tests/support/rows.h"

namespace nearhop::geo {
namespace {

constexpr auto service = "CLOUDFRONT_ORIGIN_FACING";

std::string row(const std::string& key, const std::string& network, const std::string& of = service) {
    return R"({")" + key + R"(":")" + network + R"(","region":"GLOBAL","service":")" + of +
           R"(","network_border_group":"GLOBAL"})";
}
std::string v4(const std::string& network, const std::string& of = service) { return row("ip_prefix", network, of); }
std::string v6(const std::string& network, const std::string& of = service) { return row("ipv6_prefix", network, of); }
std::string file(const std::string& four, const std::string& six = "") {
    return R"({"syncToken":"1700000000","createDate":"2026-01-01-00-00-00","prefixes":[)" + four +
           R"(],"ipv6_prefixes":[)" + six + "]}";
}

TEST(IpRanges, AreTheNetworksOfOneServiceInBothFamilies) {
    const auto found =
        parse_ip_ranges(file(v4("192.0.2.0/24") + "," + v4("10.0.0.0/8", "EC2") + "," + v4("198.51.100.0/25"),
                             v6("2001:db8::/32") + "," + v6("2001:db9::/32", "EC2")),
                        service);
    EXPECT_EQ(found.error, "");
    ASSERT_EQ(found.networks.size(), 3U);
    EXPECT_TRUE(found.networks[0].contains(ip("192.0.2.7")));
    EXPECT_TRUE(found.networks[1].contains(ip("198.51.100.127")));
    EXPECT_TRUE(found.networks[2].contains(ip("2001:db8::1")));
    EXPECT_FALSE(found.networks[2].contains(ip("2001:db9::1")));
}

TEST(IpRanges, ANetworkOfSeveralBorderGroupsCountsOnce) {
    const auto found =
        parse_ip_ranges(file(v4("192.0.2.0/24") + "," + v4("192.0.2.0/25") + "," + v4("192.0.2.0/24")), service);
    EXPECT_EQ(found.networks.size(), 2U);
}

struct Bad {
    const char* name;
    std::string text;
    std::string error;
};
using tests::PrintTo;

class RefusedRanges : public testing::TestWithParam<Bad> {};

TEST_P(RefusedRanges, GiveNoNetworkAtAll) {
    const auto found = parse_ip_ranges(GetParam().text, service);
    EXPECT_TRUE(found.networks.empty());
    EXPECT_NE(found.error.find(GetParam().error), std::string::npos) << found.error;
}

const std::string good = v4("192.0.2.0/24");

INSTANTIATE_TEST_SUITE_P(
    Texts, RefusedRanges,
    testing::Values(Bad{"Empty", "", "not the JSON"}, Bad{"Html", "<html>503</html>", "not the JSON"},
                    Bad{"Cut", file(good).substr(0, file(good).size() - 3), "not the JSON"},
                    Bad{"Twice", file(good) + file(good), "not the JSON"}, Bad{"List", "[]", "not an object"},
                    Bad{"NoIpv6", R"({"prefixes":[)" + good + "]}", "no list ipv6_prefixes"},
                    Bad{"NoIpv4", R"({"ipv6_prefixes":[]})", "no list prefixes"},
                    Bad{"NoList", R"({"prefixes":{},"ipv6_prefixes":[]})", "no list prefixes"},
                    Bad{"NoService", file(v4("10.0.0.0/8", "EC2")), "no network of CLOUDFRONT_ORIGIN_FACING"},
                    Bad{"NoRows", file(""), "no network of"},
                    Bad{"RowIsText", file(good + R"(,"192.0.2.0/24")"), "prefixes[1] has no service"},
                    Bad{"RowWithoutService", file(R"({"ip_prefix":"10.0.0.0/8"})"), "prefixes[0] has no service"},
                    Bad{"RowWithoutNetwork", file(R"({"service":"EC2"})"), "no ip_prefix"},
                    Bad{"NetworkIsNumber", file(R"({"ip_prefix":10,"service":"EC2"})"), "no ip_prefix"},
                    Bad{"NetworkIsNone", file(good + "," + v4("10.0.0/8")), "prefixes[1] is no IPv4 network"},
                    Bad{"HostBits", file(v4("10.0.0.1/8")), "is no IPv4 network"},
                    Bad{"Ipv6AmongIpv4", file(v4("2001:db8::/32")), "is no IPv4 network"},
                    Bad{"Ipv4AmongIpv6", file(good, v6("10.0.0.0/8")), "ipv6_prefixes[0] is no IPv6 network"},
                    Bad{"MappedAmongIpv6", file(good, v6("::ffff:10.0.0.0/104")), "is no IPv6 network"},
                    Bad{"Everything", file(v4("0.0.0.0/0")), "wider than any"},
                    Bad{"HalfOfEverything", file(v4("128.0.0.0/1")), "wider than any"},
                    Bad{"Everything6", file(good, v6("::/0")), "wider than any"},
                    Bad{"Deep", R"({"prefixes":[[[[[[]]]]]],"ipv6_prefixes":[]})", "not the JSON"},
                    Bad{"Large", std::string(largest_ip_ranges + 1, ' '), "larger than 8 MiB"}),
    [](const auto& row) { return row.param.name; });

TEST(IpRanges, AreBoundedInNumber) {
    std::string rows;
    for (std::size_t i = 0; i <= most_ip_ranges; ++i)
        rows += (i == 0 ? "" : ",") + v4("10." + std::to_string(i / 256 / 256) + '.' + std::to_string(i / 256 % 256) +
                                         '.' + std::to_string(i % 256));
    const auto found = parse_ip_ranges(file(rows), service);
    EXPECT_NE(found.error.find("more than 20000"), std::string::npos) << found.error;
}

TEST(IpRanges, AnErrorHoldsNothingOfTheFile) {
    EXPECT_EQ(parse_ip_ranges(file(v4("<script>\\n")), service).error.find("script"), std::string::npos);
}

}  // namespace
}  // namespace nearhop::geo
