#include "proxy/client/proxy_protocol.h"

#include "tests/support/rows.h"

#include <gtest/gtest.h>

#include <string>

namespace nearhop::client {
namespace {

using State = ProxyHeader::State;
using namespace std::string_literals;

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string v2(unsigned char version_command, unsigned char family, const std::string& addresses, std::size_t length) {
    std::string header = signature;
    header += static_cast<char>(version_command);
    header += static_cast<char>(family);
    header += static_cast<char>(length >> 8);
    header += static_cast<char>(length);
    return header + addresses;
}
std::string v2(unsigned char version_command, unsigned char family, const std::string& addresses) {
    return v2(version_command, family, addresses, addresses.size());
}
const std::string four = "\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x34\x01\xbb"s;
const std::string six =
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"s + "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"s + "\x12\x34\x01\xbb"s;
const std::string unix_names(216, 'u');

struct Case {
    const char* name;
    std::string bytes;
    State state;
    const char* source = "";  ///< empty: none
    unsigned port = 4660;     ///< of a source
};
using tests::PrintTo;
struct Headers : testing::TestWithParam<Case> {};

TEST_P(Headers, AreReadWhole) {
    const auto& row = GetParam();
    const std::string behind = "GET / HTTP/1.1\r\n";
    const auto header = parse_proxy_header(row.bytes + (row.state == State::complete ? behind : ""));
    ASSERT_EQ(header.state, row.state);
    if (row.state != State::complete) return;
    EXPECT_EQ(header.used, row.bytes.size()) << "what follows belongs to the client";
    EXPECT_EQ(header.source ? header.source->text() : "", row.source);
    EXPECT_EQ(header.source_port, header.source ? row.port : 0);
}

TEST_P(Headers, AskForMoreUntilTheirLastByte) {
    const auto& row = GetParam();
    if (row.state != State::complete) return;
    for (std::size_t size = 0; size < row.bytes.size(); ++size)
        EXPECT_EQ(parse_proxy_header(std::string_view{row.bytes}.substr(0, size)).state, State::more) << size;
}

INSTANTIATE_TEST_SUITE_P(
    Version1, Headers,
    testing::Values(
        Case{"Four", "PROXY TCP4 192.0.2.1 192.0.2.2 4660 443\r\n", State::complete, "192.0.2.1"},
        Case{"Six", "PROXY TCP6 2001:db8::1 2001:db8::2 4660 443\r\n", State::complete, "2001:db8::1"},
        Case{"Unknown", "PROXY UNKNOWN\r\n", State::complete},
        Case{"UnknownWithRest", "PROXY UNKNOWN ffff::1 x 1 2\r\n", State::complete},
        Case{"PortZero", "PROXY TCP4 192.0.2.1 192.0.2.2 0 0\r\n", State::complete, "192.0.2.1", 0},
        Case{"LongestPort", "PROXY TCP4 192.0.2.1 192.0.2.2 65535 65535\r\n", State::complete, "192.0.2.1", 65535},
        Case{"PortTooHigh", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n", State::malformed},
        Case{"PortWithZeroInFront", "PROXY TCP4 192.0.2.1 192.0.2.2 080 443\r\n", State::malformed},
        Case{"PortWithSign", "PROXY TCP4 192.0.2.1 192.0.2.2 +80 443\r\n", State::malformed},
        Case{"PortEmpty", "PROXY TCP4 192.0.2.1 192.0.2.2  443\r\n", State::malformed},
        Case{"PortHex", "PROXY TCP4 192.0.2.1 192.0.2.2 0x50 443\r\n", State::malformed},
        Case{"OnePortOnly", "PROXY TCP4 192.0.2.1 192.0.2.2 80\r\n", State::malformed},
        Case{"SixParts", "PROXY TCP4 192.0.2.1 192.0.2.2 80 443 x\r\n", State::malformed},
        Case{"SpaceAtEnd", "PROXY TCP4 192.0.2.1 192.0.2.2 80 443 \r\n", State::malformed},
        Case{"TwoSpaces", "PROXY TCP4  192.0.2.1 192.0.2.2 80 443\r\n", State::malformed},
        Case{"FamilyAndAddressDisagree", "PROXY TCP4 2001:db8::1 2001:db8::2 80 443\r\n", State::malformed},
        Case{"SixWithDots", "PROXY TCP6 192.0.2.1 192.0.2.2 80 443\r\n", State::malformed},
        Case{"NotAnAddress", "PROXY TCP4 192.0.2 192.0.2.2 80 443\r\n", State::malformed},
        Case{"Udp", "PROXY UDP4 192.0.2.1 192.0.2.2 80 443\r\n", State::malformed},
        Case{"LowerCase", "proxy TCP4 192.0.2.1 192.0.2.2 80 443\r\n", State::malformed},
        Case{"NoFamily", "PROXY \r\n", State::malformed}, Case{"UnknownGlued", "PROXY UNKNOWNX\r\n", State::malformed},
        Case{"NoCarriageReturn", "PROXY TCP4 192.0.2.1 192.0.2.2 80 443\n" + std::string(107, 'x'), State::malformed},
        Case{"LineWithoutEnd", "PROXY UNKNOWN " + std::string(93, 'x'), State::malformed},
        Case{"Longest", "PROXY UNKNOWN " + std::string(91, 'x') + "\r\n", State::complete},
        Case{"OneTooLong", "PROXY UNKNOWN " + std::string(92, 'x') + "\r\n", State::malformed},
        Case{"SecondPortTooHigh", "PROXY TCP4 192.0.2.1 192.0.2.2 80 65536\r\n", State::malformed},
        Case{"PortNegative", "PROXY TCP4 192.0.2.1 192.0.2.2 -1 443\r\n", State::malformed},
        Case{"PortWithoutEnd", "PROXY TCP4 192.0.2.1 192.0.2.2 99999999999999999999 443\r\n", State::malformed},
        Case{"AddressEmpty", "PROXY TCP4  192.0.2.2 80 443\r\n", State::malformed},
        Case{"AddressWithZeroInFront", "PROXY TCP4 192.0.02.1 192.0.2.2 80 443\r\n", State::malformed},
        Case{"AddressTooHigh", "PROXY TCP4 192.0.2.256 192.0.2.2 80 443\r\n", State::malformed},
        Case{"TargetIsNoAddress", "PROXY TCP4 192.0.2.1 here 80 443\r\n", State::malformed},
        Case{"Zone", "PROXY TCP6 fe80::1%eth0 fe80::2 80 443\r\n", State::malformed},
        Case{"Brackets", "PROXY TCP6 [2001:db8::1] [2001:db8::2] 80 443\r\n", State::malformed},
        Case{"FamiliesMixed", "PROXY TCP6 2001:db8::1 192.0.2.2 80 443\r\n", State::malformed},
        Case{"Tabs", "PROXY\tTCP4\t192.0.2.1\t192.0.2.2\t80\t443\r\n", State::malformed},
        Case{"TwoSpacesInFront", "PROXY  TCP4 192.0.2.1 192.0.2.2 80 443\r\n", State::malformed},
        Case{"Nul", "PROXY TCP4 192.0.2.1\0 192.0.2.2 80 443\r\n"s, State::malformed},
        Case{"OnlyCarriageReturn", "PROXY TCP4 192.0.2.1 192.0.2.2 80 443\r" + std::string(107, 'x'), State::malformed},
        Case{"LowerCaseFamily", "PROXY tcp4 192.0.2.1 192.0.2.2 80 443\r\n", State::malformed},
        Case{"LowerCaseUnknown", "PROXY unknown\r\n", State::malformed},
        Case{"EmptyLine", "\r\nPROXY UNKNOWN\r\n", State::malformed},
        Case{"BlankInFront", " PROXY UNKNOWN\r\n", State::malformed},
        Case{"HttpInstead", "GET / HTTP/1.1\r\n", State::malformed},
        Case{"TlsInstead", "\x16\x03\x01", State::malformed}),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Version2, Headers,
    testing::Values(Case{"Four", v2(0x21, 0x11, four), State::complete, "192.0.2.1"},
                    Case{"Six", v2(0x21, 0x21, six), State::complete, "2001:db8::1"},
                    Case{"FourWithTlvs", v2(0x21, 0x11, four + "\xea\x01\x29"s + std::string(297, 't')),
                         State::complete, "192.0.2.1"},
                    Case{"Local", v2(0x20, 0x00, ""), State::complete},
                    Case{"LocalWithAddresses", v2(0x20, 0x11, four), State::complete},
                    Case{"Unspecified", v2(0x21, 0x00, "abc"), State::complete},
                    Case{"Unix", v2(0x21, 0x31, unix_names), State::complete},
                    Case{"Datagram", v2(0x21, 0x12, four), State::complete},
                    Case{"FourTooShort", v2(0x21, 0x11, four.substr(0, 11)), State::malformed},
                    Case{"SixTooShort", v2(0x21, 0x21, six.substr(0, 35)), State::malformed},
                    Case{"SixWithFourBytes", v2(0x21, 0x21, four), State::malformed},
                    Case{"Version1InBinary", v2(0x11, 0x11, four), State::malformed},
                    Case{"Version3", v2(0x31, 0x11, four), State::malformed},
                    Case{"UnknownCommand", v2(0x22, 0x11, four), State::malformed},
                    Case{"UnknownFamily", v2(0x21, 0x41, four), State::malformed},
                    Case{"UnknownTransport", v2(0x21, 0x13, four), State::malformed},
                    Case{"TooLong", v2(0x21, 0x11, four, 4097), State::malformed},
                    Case{"LongestLength", v2(0x21, 0x11, four, 0xffff), State::malformed},
                    Case{"SignatureBroken", "\r\n\r\n\0\r\nQUIX\n"s, State::malformed},
                    Case{"FourWithoutAddresses", v2(0x21, 0x11, ""), State::malformed},
                    Case{"Version0", v2(0x01, 0x11, four), State::malformed},
                    Case{"LastCommand", v2(0x2f, 0x11, four), State::malformed},
                    Case{"FamilyWithoutTransport", v2(0x21, 0x10, four), State::malformed},
                    Case{"TransportWithoutFamily", v2(0x21, 0x01, ""), State::malformed},
                    Case{"UnixTooShort", v2(0x21, 0x31, unix_names.substr(1)), State::malformed},
                    Case{"DatagramTooShort", v2(0x21, 0x22, four), State::malformed},
                    Case{"TlvLongerThanTheHeader",
                         v2(0x21, 0x11,
                            four + "\x04\0\x05"
                                   "abcd"s),
                         State::malformed},
                    Case{"TlvCutInItsLength", v2(0x21, 0x21, six + "\x04\0"s), State::malformed},
                    Case{"TlvsWithALeftover", v2(0x21, 0x11, four + "\x04\0\0\x04"s), State::malformed},
                    Case{"EmptyTlv", v2(0x21, 0x11, four + "\x04\0\0"s), State::complete, "192.0.2.1"},
                    Case{"LocalWithAnything", v2(0x20, 0xff, "abc"), State::complete},
                    Case{"SignatureTwice", signature + signature, State::malformed},
                    Case{"AskedForMore", v2(0x21, 0x11, four, 13), State::more}),
    [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace nearhop::client
