#include "proxy/wire/head.h"

#include "tests/support/rows.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nearhop::wire {
namespace {

using State = HeadScan::State;

TEST(HeadScan, FindsTheEndOfAHeadThatComesByteByByte) {
    const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    const std::string all = head + "body\n\r\n\r\n";
    HeadScan scan;
    for (std::size_t size = 1; size < head.size(); ++size)
        ASSERT_EQ(scan.scan({all.data(), size}), State::more) << size;
    ASSERT_EQ(scan.scan({all.data(), head.size()}), State::complete);
    EXPECT_EQ(scan.size(), head.size());
    EXPECT_EQ(scan.first_line(), 14U);
}

TEST(HeadScan, FindsTheSameEndAtEverySplit) {
    const std::string head = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
    const std::string all = head + "\r\n\r\nrest";
    for (std::size_t split = 0; split < all.size(); ++split) {
        HeadScan scan;
        auto state = scan.scan({all.data(), split});
        if (state == State::more) state = scan.scan(all);
        ASSERT_EQ(state, State::complete) << split;
        EXPECT_EQ(scan.size(), head.size()) << split;
    }
}

TEST(HeadScan, ABareLineFeedIsMalformedWhereverItStands) {
    for (const std::string head : {"GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\n\r\n",
                                   "GET / HTTP/1.1\r\nHost: a\r\n\n", "\n", "G\n"}) {
        HeadScan scan;
        EXPECT_EQ(scan.scan(head), State::malformed) << head;
        EXPECT_EQ(scan.scan(head), State::malformed) << "asked again: " << head;
        HeadScan slow;
        State state = State::more;
        for (std::size_t size = 1; size <= head.size() && state == State::more; ++size)
            state = slow.scan({head.data(), size});
        EXPECT_EQ(state, State::malformed) << head;
    }
}

TEST(HeadScan, AfterResetItBeginsAnew) {
    HeadScan scan;
    EXPECT_EQ(scan.scan("GET / HTTP/1.1\r\n\r\n"), State::complete);
    scan.reset();
    EXPECT_EQ(scan.scan("G"), State::more);
    EXPECT_EQ(scan.scan("G / HTTP/1.1\r\n\r\n"), State::complete);
    EXPECT_EQ(scan.first_line(), 12U);
}

HeadError request(std::string_view head, unsigned max_fields = 100) {
    RequestHead into;
    return parse_request(head, max_fields, into);
}
HeadError response(std::string_view head, unsigned max_fields = 100) {
    ResponseHead into;
    return parse_response(head, max_fields, into);
}
HeadError with_field(const std::string& line) { return request("GET / HTTP/1.1\r\nHost: a\r\n" + line + "\r\n\r\n"); }
HeadError answer_with_field(const std::string& line) { return response("HTTP/1.1 200 OK\r\n" + line + "\r\n\r\n"); }

struct Line {
    const char* name;
    std::string line;
    bool accepted;
};
using tests::PrintTo;
struct FieldLines : testing::TestWithParam<Line> {};
TEST_P(FieldLines, OfRequestsAndResponses) {
    const auto want = GetParam().accepted ? HeadError::none : HeadError::malformed;
    EXPECT_EQ(with_field(GetParam().line), want);
    EXPECT_EQ(answer_with_field(GetParam().line), want);
}
INSTANTIATE_TEST_SUITE_P(
    Table, FieldLines,
    testing::Values(Line{"Plain", "X: y", true}, Line{"NoSpace", "X:y", true}, Line{"EmptyValue", "X:", true},
                    Line{"BlankValue", "X: \t ", true}, Line{"SpaceAround", "X: \t y \t", true},
                    Line{"ObsText", "X: \x80\xff", true}, Line{"TabInside", "X: a\tb", true},
                    Line{"Token", "!#$%&'*+-.^_`|~09azAZ: y", true}, Line{"SpaceBeforeColon", "X : y", false},
                    Line{"TabBeforeColon", "X\t: y", false}, Line{"SpaceInFront", " X: y", false},
                    Line{"EmptyName", ": y", false},  // CVE-2023-25725
                    Line{"NoColon", "X", false}, Line{"NameWithSpace", "X Y: z", false},
                    Line{"NameWithSlash", "X/Y: z", false}, Line{"NameWithBracket", "X[Y]: z", false},
                    Line{"NameWithObsText", "X\xc3: z", false}, Line{"NameWithQuote", "\"X\": z", false},
                    Line{"Fold", "X: y\r\n z", false}, Line{"FoldWithTab", "X: y\r\n\tz", false},
                    Line{"FoldOfNothing", "X: y\r\n ", false}, Line{"FoldBehindNothing", "X:\r\n y", false},
                    Line{"FoldOfFraming", "Transfer-Encoding:\r\n chunked", false},
                    Line{"FoldOfExpect", "Expect:\r\n 100-continue", false},  // CVE-2025-32094
                    Line{"EmptyFold", "X:\r\n \r\n ", false}, Line{"BareReturn", "X: a\rb", false},
                    Line{"BareReturnAtEnd", "X: a\r", false}, Line{"BareLineFeed", "X: a\nY: b", false},
                    Line{"Nul", std::string("X: a\0b", 6), false},  // CVE-2019-9900
                    Line{"NulInName", std::string("X\0: b", 5), false}, Line{"Escape", "X: a\x1b[0m", false},
                    Line{"Delete", "X: a\x7f", false},
                    Line{"VerticalTabValue",
                         "X: \x0b"
                         "chunked",
                         false},
                    Line{"VerticalTabCoding",
                         "Transfer-Encoding: \x0b"
                         "chunked",
                         false}),  // CVE-2019-18277
    [](const auto& row) { return row.param.name; });

TEST(RequestHead, EveryControlByteIsRefusedInTargetNameAndValue) {
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        const bool control = byte < 32 || byte == 127;
        if (byte != '\r' && byte != '\n') {
            const bool bad_target = control || byte >= 127 || c == ' ' || c == '#';
            EXPECT_EQ(request(std::string{"GET /"} + c + "x HTTP/1.1\r\n\r\n") == HeadError::none, !bad_target) << byte;
            EXPECT_EQ(with_field(std::string{"X: a"} + c + "b") == HeadError::none, !control || c == '\t') << byte;
            if (byte >= 127 || control) {
                EXPECT_NE(with_field(std::string{"X"} + c + "Y: b"), HeadError::none) << byte;
            }
            if (byte >= 127 || control) {
                EXPECT_NE(request(std::string{"G"} + c + "T / HTTP/1.1\r\n\r\n"), HeadError::none) << byte;
            }
            if (control && c != '\t') {
                EXPECT_NE(response(std::string{"HTTP/1.1 200 O"} + c + "K\r\n\r\n"), HeadError::none) << byte;
            }
        }
    }
}

struct Start {
    const char* name;
    std::string line;
    bool accepted;
};
struct RequestLines : testing::TestWithParam<Start> {};
TEST_P(RequestLines, OfRfc9112Section3) {
    EXPECT_EQ(request(GetParam().line + "\r\n\r\n") == HeadError::none, GetParam().accepted);
}
INSTANTIATE_TEST_SUITE_P(
    Table, RequestLines,
    testing::Values(Start{"Http11", "GET / HTTP/1.1", true}, Start{"Http10", "GET / HTTP/1.0", true},
                    Start{"Http12", "GET / HTTP/1.2", false}, Start{"Http19", "GET / HTTP/1.9", false},
                    Start{"Http20", "GET / HTTP/2.0", false}, Start{"Http01", "GET / HTTP/0.1", false},
                    Start{"Http09", "GET /", false}, Start{"LongVersion", "GET / HTTP/1.10", false},
                    Start{"VersionWithZero", "GET / HTTP/01.1", false}, Start{"LowerCase", "GET / http/1.1", false},
                    Start{"TwoSpaces", "GET  / HTTP/1.1", false}, Start{"SpaceBehind", "GET / HTTP/1.1 ", false},
                    Start{"SpaceBeforeVersion", "GET /  HTTP/1.1", false},
                    Start{"SpaceInFront", " GET / HTTP/1.1", false}, Start{"Tabs", "GET\t/\tHTTP/1.1", false},
                    Start{"SpaceInTarget", "GET /a b HTTP/1.1", false}, Start{"NoMethod", " / HTTP/1.1", false},
                    Start{"OddMethod", "GE(T / HTTP/1.1", false},
                    Start{"LongMethod", std::string(33, 'A') + " / HTTP/1.1", false},
                    Start{"LongestMethod", std::string(32, 'A') + " / HTTP/1.1", true},
                    Start{"BareReturn", "GET /\r HTTP/1.1", false}, Start{"Empty", "", false}),
    [](const auto& row) { return row.param.name; });

struct StatusLines : testing::TestWithParam<Start> {};
TEST_P(StatusLines, OfRfc9112Section4) {
    EXPECT_EQ(response(GetParam().line + "\r\n\r\n") == HeadError::none, GetParam().accepted);
}
INSTANTIATE_TEST_SUITE_P(
    Table, StatusLines,
    testing::Values(Start{"Ok", "HTTP/1.1 200 OK", true}, Start{"EmptyReason", "HTTP/1.1 200 ", true},
                    Start{"Http10", "HTTP/1.0 200 OK", true}, Start{"ObsText", "HTTP/1.1 200 \xe4", true},
                    Start{"Http20", "HTTP/2.0 200 OK", false}, Start{"Http12", "HTTP/1.2 200 OK", false},
                    Start{"TwoDigits", "HTTP/1.1 20 OK", false}, Start{"FourDigits", "HTTP/1.1 2000 OK", false},
                    Start{"Letters", "HTTP/1.1 2xx OK", false}, Start{"Zero", "HTTP/1.1 000 OK", false},
                    Start{"Below100", "HTTP/1.1 099 OK", false}, Start{"Above599", "HTTP/1.1 600 OK", false},
                    Start{"Negative", "HTTP/1.1 -20 OK", false}, Start{"TwoSpaces", "HTTP/1.1  200 OK", false},
                    Start{"Icy", "ICY 200 OK", false}, Start{"Html", "<html>", false},
                    Start{"SpaceInFront", " HTTP/1.1 200 OK", false}),
    [](const auto& row) { return row.param.name; });

TEST(RequestHead, PartsAreViewsOfTheHeadItself) {
    const std::string bytes = "POST /p?q HTTP/1.0\r\nHOST: a.test\r\nX-Y:  z \r\n\r\n";
    RequestHead head;
    ASSERT_EQ(parse_request(bytes, 10, head), HeadError::none);
    EXPECT_EQ(head.method, "POST");
    EXPECT_EQ(head.target, "/p?q");
    EXPECT_EQ(head.minor, 0U);
    ASSERT_EQ(head.fields.size(), 2U);
    EXPECT_EQ(head.fields[0].name, "HOST");
    EXPECT_EQ(head.fields[0].id, Name::host);
    EXPECT_EQ(head.fields[1].value, "z");
    for (const auto& field : head.fields) {
        EXPECT_GE(field.name.data(), bytes.data());
        EXPECT_LE(field.value.data() + field.value.size(), bytes.data() + bytes.size());
    }
}

TEST(RequestHead, RepeatedFieldsAreAllKeptForTheFramingToJudge) {
    for (const char* twice : {"Content-Length: 5\r\nContent-Length: 5", "Host: a\r\nHost: b",
                              "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"}) {
        const std::string bytes = std::string{"GET / HTTP/1.1\r\n"} + twice + "\r\n\r\n";
        RequestHead head;
        if (parse_request(bytes, 10, head) == HeadError::none) {
            EXPECT_EQ(head.fields.size(), 2U) << twice;
        }
    }
}

TEST(RequestHead, FieldsAreCounted) {
    std::string fields;
    for (int i = 0; i < 50; ++i) fields += "a: b\r\n";
    EXPECT_EQ(request("GET / HTTP/1.1\r\n" + fields + "\r\n", 50), HeadError::none);
    EXPECT_EQ(request("GET / HTTP/1.1\r\n" + fields + "\r\n", 49), HeadError::too_many_fields);
}

TEST(RequestHead, TwentyThousandTinyFieldsAreRefusedAtTheLimit) {  // CVE-2019-15226
    std::string fields;
    for (int i = 0; i < 20'000; ++i) fields += "a:\r\n";
    EXPECT_EQ(request("GET / HTTP/1.1\r\n" + fields + "\r\n"), HeadError::too_many_fields);
}

TEST(RequestHead, AHugeNameIsNotTakenForItsBeginning) {  // CVE-2021-40346
    for (const std::size_t size : {255UL, 256UL, 270UL, 300UL, 65'536UL, 65'550UL, 100'000UL}) {
        for (const std::string begin : {"content-length", "transfer-encoding", "host"}) {
            std::string name = begin + "0" + std::string(size, 'a');
            const std::string bytes = "GET / HTTP/1.1\r\n" + name + ": 5\r\n\r\n";
            RequestHead head;
            if (parse_request(bytes, 10, head) != HeadError::none) continue;  // refused is as good
            ASSERT_EQ(head.fields.size(), 1U);
            EXPECT_EQ(head.fields[0].name, name);
            EXPECT_EQ(head.fields[0].id, Name::other) << size;
        }
    }
}

TEST(RequestHead, EveryTruncationIsMalformed) {
    const std::string bytes = "GET /x HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    for (std::size_t size = 0; size < bytes.size(); ++size)
        EXPECT_EQ(request({bytes.data(), size}), HeadError::malformed) << size;
}

TEST(Classify, KnowsItsNamesInAnyCase) {
    const struct {
        const char* name;
        Name id;
    } rows[] = {{"Accept", Name::accept},
                {"CONNECTION", Name::connection},
                {"content-length", Name::content_length},
                {"Content-Type", Name::content_type},
                {"Expect", Name::expect},
                {"Forwarded", Name::forwarded},
                {"hOsT", Name::host},
                {"Idempotency-Key", Name::idempotency_key},
                {"Keep-Alive", Name::keep_alive},
                {"Proxy-Connection", Name::proxy_connection},
                {"Retry-After", Name::retry_after},
                {"TE", Name::te},
                {"Trailer", Name::trailer},
                {"Transfer-Encoding", Name::transfer_encoding},
                {"Upgrade", Name::upgrade},
                {"Via", Name::via},
                {"X-Forwarded-For", Name::x_forwarded_for},
                {"X-Forwarded-Host", Name::x_forwarded_host},
                {"X-Forwarded-Proto", Name::x_forwarded_proto},
                {"X-Forwarded-Port", Name::x_forwarded_other},
                {"X-Nearhop-Decision", Name::x_nearhop},
                {"X-Real-IP", Name::x_real_ip},
                {"X-Request-ID", Name::x_request_id},
                {"CloudFront-Viewer-Country", Name::cloudfront_viewer},
                {"X_Forwarded_For", Name::underscore_twin},
                {"X-Forwarded_For", Name::underscore_twin},
                {"CONTENT_LENGTH", Name::underscore_twin},
                {"Transfer_Encoding", Name::underscore_twin},
                {"X_Nearhop_Decision", Name::underscore_twin},
                {"CloudFront_Viewer-Country", Name::underscore_twin},
                {"X_Real-IP", Name::underscore_twin},
                {"", Name::other},
                {"Hos", Name::other},
                {"Hostt", Name::other},
                {"X-Forwarded", Name::other},
                {"X_Custom", Name::underscored},
                {"Content-Lengthx", Name::other},
                {"_", Name::underscored},
                {"Date", Name::date},
                {"Max-Forwards", Name::max_forwards},
                {"max_forwards", Name::underscore_twin},
                {"zzz", Name::other}};
    for (const auto& row : rows) EXPECT_EQ(classify(row.name), row.id) << row.name;
}

TEST(Tokens, OfAListSkipEmptyOnesAndSpace) {
    std::vector<std::string> tokens;
    for_each_token(" a,,\tb c ,, d\t,", [&](std::string_view token) { tokens.emplace_back(token); });
    EXPECT_EQ(tokens, (std::vector<std::string>{"a", "b c", "d"}));
}

}  // namespace
}  // namespace nearhop::wire
