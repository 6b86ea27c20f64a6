#include "proxy/origin/announcement.h"

#include "proxy/client/proxy_protocol.h"
#include "tests/support/rows.h"

#include <gtest/gtest.h>

#include <string>

namespace nearhop::origin {
namespace {

using namespace std::string_literals;
using Party = Announcement::Party;

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

Party party(std::string_view address, std::uint16_t port) { return {geo::Address::parse(address).value(), port}; }

struct Row {
    const char* name;
    Party client, edge;
    std::string bytes;  ///< behind the signature
};
using tests::PrintTo;
class Announced : public testing::TestWithParam<Row> {};

TEST_P(Announced, AreVersion2ToTheByte) {
    const auto& row = GetParam();
    EXPECT_EQ(Announcement::of(row.client, row.edge).bytes(), signature + row.bytes);
}

TEST_P(Announced, AreReadByOurOwnListenerAsTheyWereMeant) {
    const auto& row = GetParam();
    const auto made = Announcement::of(row.client, row.edge);
    const auto read = client::parse_proxy_header(made.bytes());
    ASSERT_EQ(read.state, client::ProxyHeader::State::complete);
    EXPECT_EQ(read.used, made.bytes().size());
    EXPECT_EQ(read.source, row.client.address);
    EXPECT_EQ(read.source_port, row.client.port);
}

const std::string six = "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"s;
const std::string mapped = "\0\0\0\0\0\0\0\0\0\0\xff\xff"s;

INSTANTIATE_TEST_SUITE_P(Families, Announced,
                         testing::Values(Row{"Four", party("192.0.2.1", 4660), party("198.51.100.2", 443),
                                             "\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x12\x34\x01\xbb"s},
                                         Row{"Six", party("2001:db8::1", 65535), party("2001:db8::1", 443),
                                             "\x21\x21\0\x24"s + six + six + "\xff\xff\x01\xbb"s},
                                         Row{"ClientSixEdgeFour", party("2001:db8::1", 0), party("198.51.100.2", 443),
                                             "\x21\x21\0\x24"s + six + mapped + "\xc6\x33\x64\x02\0\0\x01\xbb"s},
                                         Row{"ClientFourEdgeSix", party("192.0.2.1", 1), party("2001:db8::1", 443),
                                             "\x21\x21\0\x24"s + mapped + "\xc0\0\x02\x01"s + six + "\0\x01\x01\xbb"s}),
                         [](const auto& row) { return std::string{row.param.name}; });

TEST(Announcement, OfTheEdgeItselfIsLocal) {
    EXPECT_EQ(Announcement::local().bytes(), signature + "\x20\0\0\0"s);
    const auto read = client::parse_proxy_header(Announcement::local().bytes());
    EXPECT_EQ(read.state, client::ProxyHeader::State::complete);
    EXPECT_FALSE(read.source);
}

TEST(Announcement, IsTheSameForTheSameClientAndPortOnly) {
    const auto edge = party("198.51.100.2", 443);
    const auto one = Announcement::of(party("192.0.2.1", 1), edge);
    EXPECT_EQ(one, Announcement::of(party("192.0.2.1", 1), edge));
    EXPECT_NE(one, Announcement::of(party("192.0.2.2", 1), edge));
    EXPECT_NE(one, Announcement::of(party("192.0.2.1", 2), edge));
    EXPECT_NE(one, Announcement::of(party("192.0.2.1", 1), party("198.51.100.2", 444)));
    EXPECT_NE(one, Announcement{});
    EXPECT_TRUE(Announcement{}.empty());
}

}  // namespace
}  // namespace nearhop::origin
