#include "proxy/wire/framing.h"

#include "tests/support/rows.h"

#include <gtest/gtest.h>

#include <string>

namespace nearhop::wire {
namespace {

using Kind = Framing::Kind;

struct Case {
    const char* name;
    std::string fields;
    std::optional<Framing> framing;
    unsigned minor = 1;
};
using tests::PrintTo;

std::vector<Field> fields_of(const std::string& lines) {
    std::vector<Field> fields;
    for (std::size_t at = 0; at < lines.size();) {
        const auto end = lines.find('\n', at);
        const auto colon = lines.find(':', at);
        const std::string_view name{lines.data() + at, colon - at};
        fields.push_back({name, {lines.data() + colon + 1, end - colon - 1}, classify(name)});
        at = end + 1;
    }
    return fields;
}

void expect(const std::optional<Framing>& got, const std::optional<Framing>& want) {
    ASSERT_EQ(got.has_value(), want.has_value());
    if (!want) return;
    EXPECT_EQ(got->kind, want->kind);
    if (want->kind == Kind::length) {
        EXPECT_EQ(got->length, want->length);
    }
}

struct Requests : testing::TestWithParam<Case> {};
TEST_P(Requests, AreFramedByRfc9112Section6) {
    expect(request_framing({"POST", "/", GetParam().minor, fields_of(GetParam().fields)}), GetParam().framing);
}
constexpr auto refused = std::nullopt;
INSTANTIATE_TEST_SUITE_P(
    Table, Requests,
    testing::Values(
        Case{"Nothing", "", Framing{}},                                  // 6.3 rule 7
        Case{"Length", "Content-Length:5\n", Framing{Kind::length, 5}},  // rule 6
        Case{"LengthOfZero", "Content-Length:0\n", Framing{}},
        Case{"LengthWithZeros", "Content-Length:0005\n", Framing{Kind::length, 5}},
        Case{"LongestLength", "Content-Length:9223372036854775807\n", Framing{Kind::length, 9223372036854775807ULL}},
        Case{"LengthOf64Bits", "Content-Length:9223372036854775808\n", refused},  // rule 5
        Case{"LengthBeyondAll", "Content-Length:99999999999999999999999\n", refused},
        Case{"LengthNegative", "Content-Length:-5\n", refused}, Case{"LengthSigned", "Content-Length:+5\n", refused},
        Case{"LengthHex", "Content-Length:0x5\n", refused}, Case{"LengthFraction", "Content-Length:5.0\n", refused},
        Case{"LengthEmpty", "Content-Length:\n", refused}, Case{"LengthSpace", "Content-Length:5 5\n", refused},
        Case{"LengthList", "Content-Length:5,5\n", refused}, Case{"LengthLetters", "Content-Length:five\n", refused},
        Case{"LengthTwice", "Content-Length:5\nContent-Length:5\n", refused},
        Case{"LengthTwiceDifferent", "Content-Length:5\nContent-Length:6\n", refused},
        Case{"EmptyThenLength", "Content-Length:\nContent-Length:5\n", refused},    // CVE-2023-40225
        Case{"Chunked", "Transfer-Encoding:chunked\n", Framing{Kind::chunked, 0}},  // rule 4
        Case{"ChunkedUpper", "Transfer-Encoding:CHUNKED\n", Framing{Kind::chunked, 0}},
        Case{"ChunkedOldHttp", "Transfer-Encoding:chunked\n", refused, 0},                   // 6.1
        Case{"ChunkedAndLength", "Transfer-Encoding:chunked\nContent-Length:5\n", refused},  // rule 3
        Case{"LengthAndChunked", "Content-Length:5\nTransfer-Encoding:chunked\n", refused},
        Case{"ChunkedTwice", "Transfer-Encoding:chunked\nTransfer-Encoding:chunked\n", refused},
        Case{"ChunkedList", "Transfer-Encoding:chunked,chunked\n", refused},
        Case{"ChunkedFirst", "Transfer-Encoding:chunked, gzip\n", refused},
        Case{"Gzip", "Transfer-Encoding:gzip\n", refused},
        Case{"GzipChunked", "Transfer-Encoding:gzip, chunked\n", refused},
        Case{"Identity", "Transfer-Encoding:identity\n", refused}, Case{"Empty", "Transfer-Encoding:\n", refused},
        Case{"Quoted", "Transfer-Encoding:\"chunked\"\n", refused},
        Case{"Parameter", "Transfer-Encoding:chunked;x=y\n", refused},
        Case{"VerticalTab",
             "Transfer-Encoding:\x0b"
             "chunked\n",
             refused},  // CVE-2019-18277
        Case{"XChunked", "Transfer-Encoding:xchunked\n", refused},
        Case{"TwinIsNotFraming", "Transfer_Encoding:chunked\n", Framing{}}),
    [](const auto& row) { return row.param.name; });

struct Answer {
    const char* name;
    unsigned status;
    const char* method;
    std::string fields;
    std::optional<Framing> framing;
    unsigned minor = 1;
};
struct Responses : testing::TestWithParam<Answer> {};
TEST_P(Responses, AreFramedByRfc9112Section6) {
    const auto& row = GetParam();
    expect(response_framing({row.status, "OK", row.minor, fields_of(row.fields)}, row.method), row.framing);
}
INSTANTIATE_TEST_SUITE_P(
    Table, Responses,
    testing::Values(Answer{"Head", 200, "HEAD", "Content-Length:5\n", Framing{}},  // rule 1
                    Answer{"HeadChunked", 200, "HEAD", "Transfer-Encoding:chunked\n", Framing{}},
                    Answer{"NoContent", 204, "GET", "", Framing{}},
                    Answer{"NotModified", 304, "GET", "Content-Length:5\n", Framing{}},
                    Answer{"Interim", 103, "GET", "", Framing{}},
                    Answer{"Length", 200, "GET", "Content-Length:5\n", Framing{Kind::length, 5}},
                    Answer{"LengthOfZero", 200, "GET", "Content-Length:0\n", Framing{Kind::length, 0}},
                    Answer{"Chunked", 200, "GET", "Transfer-Encoding:chunked\n", Framing{Kind::chunked, 0}},
                    Answer{"UntilClose", 200, "GET", "", Framing{Kind::until_close, 0}},  // rule 8
                    Answer{"OldHttpUntilClose", 200, "GET", "", Framing{Kind::until_close, 0}, 0},
                    Answer{"OldHttpChunked", 200, "GET", "Transfer-Encoding:chunked\n", refused, 0},
                    Answer{"Both", 200, "GET", "Content-Length:5\nTransfer-Encoding:chunked\n", refused},
                    Answer{"BothToHead", 200, "HEAD", "Content-Length:5\nTransfer-Encoding:chunked\n", refused},
                    Answer{"GzipUntilClose", 200, "GET", "Transfer-Encoding:gzip\n", refused},
                    Answer{"LengthTwice", 200, "GET", "Content-Length:5\nContent-Length:5\n", refused}),
    [](const auto& row) { return row.param.name; });

TEST(KeepsAlive, ByVersionAndConnection) {  // RFC 9112 section 9.3
    const struct {
        unsigned minor;
        const char* fields;
        bool kept;
    } rows[] = {{1, "", true},
                {0, "", false},
                {0, "Connection:keep-alive\n", true},
                {0, "Connection:Keep-Alive, x\n", true},
                {1, "Connection:close\n", false},
                {1, "Connection:x\nConnection:CLOSE\n", false},
                {1, "Connection:keep-alive, close\n", false},
                {0, "Connection:keep-alive\nConnection:close\n", false},
                {1, "Connection:closed\n", true},
                {0, "Proxy-Connection:keep-alive\n", false}};
    for (const auto& row : rows) EXPECT_EQ(keeps_alive(row.minor, fields_of(row.fields)), row.kept) << row.fields;
}

TEST(KeepAliveTimeout, IsTheShortestThatIsTold) {  // RFC 2068 section 19.7.1.1, as Apache and Node write it
    using std::chrono::seconds;
    const struct {
        const char* fields;
        std::optional<seconds> told;
    } rows[] = {{"", std::nullopt},
                {"Keep-Alive:timeout=5\n", seconds{5}},
                {"Keep-Alive:timeout=5, max=100\n", seconds{5}},
                {"keep-alive:max=100,Timeout=5\n", seconds{5}},
                {"Keep-Alive:timeout=60\nKeep-Alive:timeout=5\n", seconds{5}},
                {"Keep-Alive:timeout=0\n", seconds{0}},
                {"Keep-Alive:timeout=4294967295\n", seconds{24 * 3600}},
                {"Keep-Alive:timeout=4294967296\n", std::nullopt},
                {"Keep-Alive:timeout=\n", std::nullopt},
                {"Keep-Alive:timeout=-5\n", std::nullopt},
                {"Keep-Alive:timeout=5s\n", std::nullopt},
                {"Keep-Alive:x-timeout=5\n", std::nullopt},
                {"Connection:timeout=5\n", std::nullopt}};
    for (const auto& row : rows) EXPECT_EQ(keep_alive_timeout(fields_of(row.fields)), row.told) << row.fields;
}

}  // namespace
}  // namespace nearhop::wire
