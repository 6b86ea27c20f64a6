#include "geo/address.h"

#include "tests/geo/support.h"
#include "tests/support/rows.h"

#include <arpa/inet.h>
#include <cstring>
#include <netinet/in.h>
#include <string_view>

namespace nearhop::geo {
namespace {

struct TextCase {
    const char* given;
    const char* text;  ///< as printed; nullptr: refused
};
void PrintTo(const TextCase& row, std::ostream* out) { tests::print_fields(out, row.given); }

class AddressText : public testing::TestWithParam<TextCase> {};

TEST_P(AddressText, IsReadWholeAndPrintedInOneForm) {
    const auto address = Address::parse(GetParam().given);
    ASSERT_EQ(address.has_value(), GetParam().text != nullptr) << GetParam().given;
    if (address) {
        EXPECT_EQ(address->text(), GetParam().text);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Texts, AddressText,
    testing::Values(TextCase{"192.0.2.1", "192.0.2.1"}, TextCase{"255.255.255.255", "255.255.255.255"},
                    TextCase{"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
                    TextCase{"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
                    TextCase{"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"}, TextCase{"::", "::"}, TextCase{"::1", "::1"},
                    TextCase{"::ffff:192.0.2.1", "192.0.2.1"},
                    TextCase{"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
                             "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
                    TextCase{"", nullptr}, TextCase{"1.2.3", nullptr}, TextCase{"1.2.3.4.5", nullptr},
                    TextCase{"1.2.3.256", nullptr}, TextCase{"01.2.3.4", nullptr}, TextCase{"0x1.2.3.4", nullptr},
                    TextCase{" 1.2.3.4", nullptr}, TextCase{"1.2.3.4 ", nullptr}, TextCase{"1.2.3.4:80", nullptr},
                    TextCase{"[::1]", nullptr}, TextCase{"fe80::1%eth0", nullptr}, TextCase{"::1::", nullptr},
                    TextCase{"1:2:3:4:5:6:7:8:9", nullptr}, TextCase{"localhost", nullptr},
                    TextCase{"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", nullptr}));

TEST(Address, TextAfterANulByteIsNotIgnored) {
    EXPECT_FALSE(Address::parse(std::string_view{"192.0.2.1\0x", 11}));
    EXPECT_FALSE(Address::parse(std::string_view{"::1\0", 4}));
}

TEST(Address, ComesFromSocketAddressesOfBothFamiliesOnly) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(0xc0000201);
    EXPECT_EQ(Address::from(reinterpret_cast<const sockaddr*>(&v4)), ip("192.0.2.1"));

    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    inet_pton(AF_INET6, "2001:db8::7", &v6.sin6_addr);
    EXPECT_EQ(Address::from(reinterpret_cast<const sockaddr*>(&v6)), ip("2001:db8::7"));

    sockaddr other{};
    other.sa_family = AF_UNIX;
    EXPECT_FALSE(Address::from(&other));
}

struct CanonicalCase {
    const char* given;
    const char* canonical;
};
void PrintTo(const CanonicalCase& row, std::ostream* out) { tests::print_fields(out, row.given); }

class CanonicalAddress : public testing::TestWithParam<CanonicalCase> {};

TEST_P(CanonicalAddress, IsTheInnerV4WhereThereIsOne) {
    EXPECT_EQ(ip(GetParam().given).canonical().text(), GetParam().canonical) << GetParam().given;
}

INSTANTIATE_TEST_SUITE_P(
    Unwraps, CanonicalAddress,
    testing::Values(CanonicalCase{"81.2.69.1", "81.2.69.1"}, CanonicalCase{"::ffff:81.2.69.1", "81.2.69.1"},
                    CanonicalCase{"::81.2.69.1", "81.2.69.1"}, CanonicalCase{"::", "::"}, CanonicalCase{"::1", "::1"},
                    CanonicalCase{"::2", "0.0.0.2"}, CanonicalCase{"::ffff:0:81.2.69.1", "81.2.69.1"},
                    CanonicalCase{"64:ff9b::81.2.69.1", "81.2.69.1"},
                    CanonicalCase{"64:ff9b:1::5102:4501", "64:ff9b:1::5102:4501"},  // another prefix: not unwrapped
                    CanonicalCase{"64:ff9b:0:0:0:1:5102:4501", "64:ff9b::1:5102:4501"},
                    CanonicalCase{"2002:5102:4501::1", "81.2.69.1"},
                    CanonicalCase{"2002:5102:4501:ffff:1:2:3:4", "81.2.69.1"},
                    CanonicalCase{"2001:0:1:2:3:4:aefd:bafe", "81.2.69.1"},
                    CanonicalCase{"2001:1::aefd:bafe", "2001:1::aefd:bafe"}, CanonicalCase{"2003::1", "2003::1"},
                    CanonicalCase{"2a02:1234::1", "2a02:1234::1"},
                    // Unwrapped once: what is inside is IPv4 and judged as that, private or not.
                    CanonicalCase{"2002:a00:1::", "10.0.0.1"}));

struct RangeCase {
    const char* first;
    const char* last;
    const char* before;  ///< the neighbour below that has a location; nullptr: none
    const char* after;
};
void PrintTo(const RangeCase& row, std::ostream* out) { tests::print_fields(out, row.first, row.last); }

class SpecialRange : public testing::TestWithParam<RangeCase> {};

TEST_P(SpecialRange, HasNoLocationFromItsFirstToItsLastAddressAndNoFurther) {
    const auto& [first, last, before, after] = GetParam();
    EXPECT_TRUE(ip(first).is_special()) << first;
    EXPECT_TRUE(ip(last).is_special()) << last;
    if (before != nullptr) {
        EXPECT_FALSE(ip(before).is_special()) << before;
    }
    if (after != nullptr) {
        EXPECT_FALSE(ip(after).is_special()) << after;
    }
}

INSTANTIATE_TEST_SUITE_P(V4, SpecialRange,
                         testing::Values(RangeCase{"0.0.0.0", "0.255.255.255", nullptr, "1.0.0.0"},
                                         RangeCase{"10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
                                         RangeCase{"100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"},
                                         RangeCase{"127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"},
                                         RangeCase{"169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"},
                                         RangeCase{"172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
                                         RangeCase{"192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"},
                                         RangeCase{"192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},
                                         RangeCase{"192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"},
                                         RangeCase{"192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"},
                                         RangeCase{"198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"},
                                         RangeCase{"198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"},
                                         RangeCase{"203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"},
                                         RangeCase{"224.0.0.0", "255.255.255.255", "223.255.255.255", nullptr}));

INSTANTIATE_TEST_SUITE_P(
    V6, SpecialRange,
    testing::Values(RangeCase{"::", "::1", nullptr, "::2"},
                    RangeCase{"64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b:0:ffff::", "64:ff9b:2::"},
                    RangeCase{"100::", "100::ffff:ffff:ffff:ffff", "ff:ffff::", "100:0:0:1::"},
                    RangeCase{"2001:db8::", "2001:db8:ffff:ffff::", "2001:db7:ffff::", "2001:db9::"},
                    RangeCase{"3fff::", "3fff:fff:ffff::", "3ffe:ffff::", "3fff:1000::"},
                    RangeCase{"5f00::", "5f00:ffff::", "5eff:ffff::", "5f01::"},
                    RangeCase{"fc00::", "fdff:ffff::", "fbff:ffff::", "fe00::"},
                    RangeCase{"fe80::", "febf:ffff::", "fe7f:ffff::", nullptr},
                    RangeCase{"fec0::", "feff:ffff::", nullptr, nullptr},
                    RangeCase{"ff00::", "ffff:ffff::", nullptr, nullptr}));

}  // namespace
}  // namespace nearhop::geo
