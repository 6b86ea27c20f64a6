#include "tests/geo/support.h"
#include "tests/support/rows.h"

#include <random>

namespace nearhop::geo {
namespace {

struct CidrCase {
    const char* text;
    int bits;  ///< in the 16-byte form; -1: refused
};
void PrintTo(const CidrCase& row, std::ostream* out) { tests::print_fields(out, row.text); }

class CidrText : public testing::TestWithParam<CidrCase> {};

TEST_P(CidrText, IsANetworkWithoutHostBits) {
    const auto cidr = Cidr::parse(GetParam().text);
    EXPECT_EQ(cidr ? static_cast<int>(cidr->bits) : -1, GetParam().bits) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Texts, CidrText,
    testing::Values(CidrCase{"10.0.0.0/8", 104}, CidrCase{"0.0.0.0/0", 96}, CidrCase{"192.0.2.7", 128},
                    CidrCase{"192.0.2.7/32", 128}, CidrCase{"2001:db8::/32", 32}, CidrCase{"::/0", 0},
                    CidrCase{"2001:db8::1", 128}, CidrCase{"::ffff:10.0.0.0/104", 104}, CidrCase{"10.0.0.1/8", -1},
                    CidrCase{"2001:db8::1/32", -1}, CidrCase{"10.0.0.0/33", -1}, CidrCase{"::/129", -1},
                    CidrCase{"10.0.0.0/", -1}, CidrCase{"10.0.0.0/08", -1}, CidrCase{"10.0.0.0/+8", -1},
                    CidrCase{"10.0.0.0/-1", -1}, CidrCase{"10.0.0.0/8 ", -1}, CidrCase{"10.0.0.0/8/8", -1},
                    CidrCase{"10.0.0.0/99999999999999", -1}, CidrCase{"10/8", -1}, CidrCase{"/8", -1}, CidrCase{"", -1},
                    CidrCase{"10.0.0.128/25", 121}, CidrCase{"10.0.0.64/25", -1}));

TEST(Cidr, HoldsItsOwnAddressesOnly) {
    const auto network = Cidr::parse("100.64.0.0/10").value();
    EXPECT_TRUE(network.contains(ip("100.64.0.0")));
    EXPECT_TRUE(network.contains(ip("100.127.255.255")));
    EXPECT_FALSE(network.contains(ip("100.128.0.0")));
    EXPECT_FALSE(network.contains(ip("100.63.255.255")));
    EXPECT_FALSE(network.contains(ip("2001:db8::1")));
}

TEST(Cidr, KnowsThatItIsEverything) {
    EXPECT_TRUE(Cidr::parse("0.0.0.0/0")->is_everything());
    EXPECT_TRUE(Cidr::parse("::/0")->is_everything());
    EXPECT_FALSE(Cidr::parse("0.0.0.0/1")->is_everything());
    EXPECT_FALSE(Cidr::parse("::/96")->is_everything());
}

CidrTable table(std::initializer_list<const char*> networks) {
    std::vector<std::pair<Cidr, std::uint32_t>> entries;
    for (const char* network : networks)
        entries.emplace_back(Cidr::parse(network).value(), static_cast<std::uint32_t>(entries.size()));
    return CidrTable{std::move(entries)};
}

TEST(CidrTable, TheLongestNetworkWinsWhereverItStandsInTheList) {
    for (const auto& nested : {table({"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "2001:db8::/32", "0.0.0.0/0"})}) {
        EXPECT_EQ(nested.find(ip("10.1.2.3")), 2U);
        EXPECT_EQ(nested.find(ip("10.1.2.4")), 1U);
        EXPECT_EQ(nested.find(ip("10.2.0.1")), 0U);
        EXPECT_EQ(nested.find(ip("11.0.0.1")), 4U);
        EXPECT_EQ(nested.find(ip("2001:db8::9")), 3U);
        EXPECT_FALSE(nested.find(ip("2001:db9::9")));
    }
    EXPECT_EQ(table({"10.1.2.3", "10.1.0.0/16", "10.0.0.0/8"}).find(ip("10.1.2.3")), 0U);
}

TEST(CidrTable, FindsEveryOneOfManyNetworksOfOneLength) {
    std::vector<std::pair<Cidr, std::uint32_t>> entries;
    for (std::uint32_t i = 0; i < 1000; ++i) entries.emplace_back(Cidr{Address::v4((999 - i) << 8), 120}, i);
    const CidrTable many{entries};
    for (std::uint32_t i = 0; i < 1000; ++i) EXPECT_EQ(many.find(Address::v4(((999 - i) << 8) + 77)), i);
    EXPECT_FALSE(many.find(Address::v4(1000U << 8)));
}

TEST(CidrTable, OfTwoEqualNetworksTheFirstCounts) {
    EXPECT_EQ(table({"10.0.0.0/8", "10.0.0.0/8"}).find(ip("10.0.0.1")), 0U);
}

TEST(CidrTable, NetworksThatBeginOrEndTogetherEndWhereTheyShould) {
    const auto nested =
        table({"10.0.0.0/8", "10.0.0.0/16", "10.0.0.0", "10.255.0.0/16", "10.255.255.255", "11.0.0.0/8"});
    EXPECT_FALSE(nested.find(ip("9.255.255.255")));
    EXPECT_EQ(nested.find(ip("10.0.0.0")), 2U);
    EXPECT_EQ(nested.find(ip("10.0.0.1")), 1U);
    EXPECT_EQ(nested.find(ip("10.0.255.255")), 1U);
    EXPECT_EQ(nested.find(ip("10.1.0.0")), 0U);
    EXPECT_EQ(nested.find(ip("10.255.255.254")), 3U);
    EXPECT_EQ(nested.find(ip("10.255.255.255")), 4U);
    EXPECT_EQ(nested.find(ip("11.0.0.0")), 5U);
    EXPECT_FALSE(nested.find(ip("12.0.0.0")));
}

TEST(CidrTable, HoldsTheFirstAndTheLastAddressOfAll) {
    const auto all = table({"::/0", "ffff::/16", "0.0.0.0/0", "::/64"});
    EXPECT_EQ(all.find(ip("::")), 3U);
    EXPECT_EQ(all.find(ip("0:0:0:1::")), 0U);
    EXPECT_EQ(all.find(ip("255.255.255.255")), 2U);
    EXPECT_EQ(all.find(ip("::1:0:0:0")), 3U) << "behind all of IPv4";
    EXPECT_EQ(all.find(ip("fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff")), 0U);
    EXPECT_EQ(all.find(ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")), 1U);
}

/// Beside what it must be: the longest of all networks that hold the address, looked at one by one.
TEST(CidrTable, AgreesWithLookingAtEveryNetwork) {
    std::mt19937 random{7};
    for (int round = 0; round < 200; ++round) {
        std::vector<std::pair<Cidr, std::uint32_t>> entries;
        const auto address = [&] {  // few bits differ, so that networks nest, touch and repeat
            Address::Bytes bytes =
                Address::v4(static_cast<std::uint32_t>(0x0a000000U | (random() & 0x7U) << 21 | (random() & 0x7U)))
                    .bytes();
            if (random() % 4 == 0) bytes[0] = static_cast<std::uint8_t>(random() & 0x80U);
            return Address{bytes};
        };
        for (std::uint32_t i = 0; i < 40; ++i) {
            const unsigned bits =
                random() % 8 == 0 ? static_cast<unsigned>(random() % 129) : 104 + static_cast<unsigned>(random() % 25);
            auto bytes = address().bytes();
            for (unsigned bit = bits; bit < 128; ++bit)
                bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] & ~(0x80U >> (bit % 8)));
            entries.emplace_back(Cidr{Address{bytes}, bits}, i);
        }
        const CidrTable made{entries};
        for (int i = 0; i < 100; ++i) {
            const Address asked = address();
            const std::pair<Cidr, std::uint32_t>* best = nullptr;
            for (const auto& entry : entries)
                if (entry.first.contains(asked) && (!best || entry.first.bits > best->first.bits)) best = &entry;
            EXPECT_EQ(made.find(asked), best ? std::optional{best->second} : std::nullopt) << asked.text();
        }
    }
}

TEST(CidrTable, IsEmptyByDefaultAndThenFindsNothing) {
    EXPECT_TRUE(CidrTable{}.empty());
    EXPECT_FALSE(CidrTable{}.contains(ip("10.0.0.1")));
    EXPECT_FALSE(table({"0.0.0.0/0"}).empty());
}

}  // namespace
}  // namespace nearhop::geo
