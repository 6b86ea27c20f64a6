#include "conf/syntax.h"

#include <gtest/gtest.h>

namespace nearhop::conf {
namespace {

TEST(Duration, IsAWholeNumberWithAUnit) {
    EXPECT_EQ(duration_from("250ms"), 250ms);
    EXPECT_EQ(duration_from("5s"), 5s);
    EXPECT_EQ(duration_from("2m"), 2min);
    EXPECT_EQ(duration_from("1h"), 1h);
    EXPECT_EQ(duration_from("0s"), 0ms);
    for (const char* bad : {"", "5", "0", "s", "5 s", "-5s", "+5s", "1.5s", "5S", "5sec", "5d", "5us", "0x5s",
                            "99999999999999999999s", "9223372036854775807h"})
        EXPECT_FALSE(duration_from(bad)) << bad;
}

TEST(Size, IsAWholeNumberWithABinaryUnitOrZero) {
    EXPECT_EQ(size_from("64KiB"), 65536U);
    EXPECT_EQ(size_from("1MiB"), 1048576U);
    EXPECT_EQ(size_from("3GiB"), 3221225472U);
    EXPECT_EQ(size_from("7B"), 7U);
    EXPECT_EQ(size_from("0"), 0U);
    for (const char* bad : {"", "64", "64K", "64KB", "64kib", "1.5MiB", "-1B", "18446744073709551615GiB"})
        EXPECT_FALSE(size_from(bad)) << bad;
}

TEST(Printing, TakesTheLargestUnitThatFits) {
    EXPECT_EQ(to_string(milliseconds{75s}), "75s");
    EXPECT_EQ(to_string(milliseconds{300s}), "5m");
    EXPECT_EQ(to_string(250ms), "250ms");
    EXPECT_EQ(to_string(0ms), "0s");
    EXPECT_EQ(size_to_string(65536), "64KiB");
    EXPECT_EQ(size_to_string(1000), "1000B");
    EXPECT_EQ(size_to_string(0), "0");
}

TEST(NetworkSyntax, RefusesHostBitsAndMalformedText) {
    for (const char* good : {"10.0.0.0/8", "10.1.2.3", "10.1.2.3/32", "2001:db8::/32", "::1", "0.0.0.0/0", "::/0"})
        EXPECT_TRUE(network_from(good)) << good;
    for (const char* bad : {"", "/", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "10.0/8",
                            "2001:db8::1/32", "::/129", "fe80::1%eth0", "[::1]", "010.0.0.1", "host", " 10.0.0.1"})
        EXPECT_FALSE(network_from(bad)) << bad;
}

TEST(NetworkSyntax, KnowsEveryFormOfEveryone) {
    for (const char* all : {"0.0.0.0/0", "::/0", "::ffff:0:0/96", "::/80", "::ffc0:0:0/90", "::/1"}) {
        ASSERT_TRUE(network_from(all)) << all;
        EXPECT_TRUE(network_from(all)->everyone) << all;
    }
    for (const char* some : {"0.0.0.0/1", "::ffff:0:0/97", "8000::/1", "::/96", "::1", "127.0.0.1"}) {
        ASSERT_TRUE(network_from(some)) << some;
        EXPECT_FALSE(network_from(some)->everyone) << some;
    }
}

TEST(HostSyntax, IsLowerCaseWithoutATrailingDot) {
    EXPECT_EQ(host_name_from("WWW.Example.COM."), "www.example.com");
    EXPECT_EQ(host_name_from("10.0.0.1"), "10.0.0.1");
    EXPECT_EQ(site_host_from("*.Example.com"), "*.example.com");
    const std::string long_label(64, 'a');
    for (const std::string& bad :
         {std::string{}, std::string{"."}, std::string{"a..b"}, std::string{"-a.b"}, std::string{"a-.b"},
          std::string{"a b"}, std::string{"a.b:80"}, std::string{"*."}, std::string{"*"}, std::string{"a.*.com"},
          std::string{"www.*"}, std::string{"*.*.com"}, std::string{"1.2.3"}, std::string{"1.2.3.256"},
          std::string{"*.1.2.3.4"}, std::string{"b\xc3\xbc"}, std::string{"a/b"}, long_label + ".com"})
        EXPECT_FALSE(site_host_from(bad)) << bad;
}

TEST(OriginUrlSyntax, IsSchemeHostAndPortOnly) {
    const auto url = origin_url_from("https://API.example.com");
    ASSERT_TRUE(url);
    EXPECT_TRUE(url->tls);
    EXPECT_EQ(url->host, "api.example.com");
    EXPECT_EQ(url->port, 443);
    EXPECT_EQ(origin_url_from("http://127.0.0.1:8080/")->port, 8080);
    EXPECT_EQ(origin_url_from("http://a.example")->port, 80);
    EXPECT_EQ(origin_url_from("https://[2001:DB8::1]:8443")->host, "2001:db8::1");
    for (const char* bad :
         {"", "example.com", "ftp://a.example", "https://", "https:///", "https://a.example/x", "https://a.example//",
          "https://a.example?x", "https://a.example#x", "https://u@a.example", "https://u:p@a.example",
          "https://a.example:", "https://a.example:0", "https://a.example:65536", "https://[::1", "https://::1",
          "https://[1.2.3.4]", "https://a.example:443x", "https://a b"})
        EXPECT_FALSE(origin_url_from(bad)) << bad;
}

TEST(ListenAddressSyntax, IsANumericAddressAndAPort) {
    EXPECT_EQ(listen_address_from("[::]:443")->address, "::");
    EXPECT_EQ(listen_address_from("127.0.0.1:0")->port, 0);
    EXPECT_EQ(to_string(*listen_address_from("[::1]:80")), "[::1]:80");
    for (const char* bad : {"", ":443", "443", "localhost:443", "0.0.0.0", "0.0.0.0:", "0.0.0.0:65536", "::1:443",
                            "[::1]", "0.0.0.0:443:1"})
        EXPECT_FALSE(listen_address_from(bad)) << bad;
}

TEST(HostFieldSyntax, KeepsThePort) {
    EXPECT_EQ(host_field_from("A.example:8080"), "a.example:8080");
    EXPECT_EQ(host_field_from("[::1]:80"), "[::1]:80");
    for (const char* bad : {"", "a.example:", "a b", "::1", "a.example:x"}) EXPECT_FALSE(host_field_from(bad)) << bad;
}

TEST(Shown, IsOneShortLine) {
    EXPECT_EQ(shown("a\nb"), "\"a?b\"");
    EXPECT_LT(shown(std::string(5000, 'x')).size(), 80U);
}

}  // namespace
}  // namespace nearhop::conf
