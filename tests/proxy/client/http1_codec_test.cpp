#include "tests/proxy/client/http1_codec_support.h"
#include "tests/support/rows.h"

#include <string>

namespace nearhop::client {
namespace {

struct Case {
    const char* name;
    std::string head;
    Fault fault;
};
using tests::PrintTo;

struct Heads : CodecTest, testing::WithParamInterface<Case> {};

TEST_P(Heads, GetTheFaultTheyDeserve) {
    const auto& row = GetParam();
    const auto read_as = read(row.head);
    if (row.fault == Fault::none) {
        ASSERT_EQ(read_as, Read::ready) << info(codec.fault()).code;
    } else {
        ASSERT_EQ(read_as, Read::refused);
        EXPECT_EQ(info(codec.fault()).code, info(row.fault).code);
    }
}

TEST_P(Heads, GetTheSameFaultWhenTheyComeByteByByte) {
    const auto& row = GetParam();
    Read got = Read::pending;
    for (std::size_t i = 0; i < row.head.size() && got == Read::pending; ++i) got = read({&row.head[i], 1});
    EXPECT_EQ(got, row.fault == Fault::none ? Read::ready : Read::refused);
    EXPECT_EQ(info(codec.fault()).code, info(row.fault).code);
}

INSTANTIATE_TEST_SUITE_P(
    Framing, Heads,
    testing::Values(  // RFC 9112 section 6.3
        Case{"LengthAndChunked", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
             Fault::client_bad_framing},
        Case{"ChunkedAndLength", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
             Fault::client_bad_framing},
        Case{"TwoEqualLengths", post("Content-Length: 5\r\nContent-Length: 5\r\n"), Fault::client_bad_framing},
        Case{"ListOfLengths", post("Content-Length: 5, 5\r\n"), Fault::client_bad_framing},
        Case{"EmptyLength", post("Content-Length:\r\n"), Fault::client_bad_framing},  // CVE-2023-40225
        Case{"ChunkedTwice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
             Fault::client_bad_framing},
        Case{"ChunkedThenIdentity", post("Transfer-Encoding: chunked, identity\r\n"), Fault::client_bad_framing},
        Case{"IdentityThenChunked", post("Transfer-Encoding: identity, chunked\r\n"),
             Fault::client_bad_framing},  // CVE-2026-2835
        Case{"GzipThenChunked", post("Transfer-Encoding: gzip, chunked\r\n"), Fault::client_bad_framing},
        Case{"Identity", post("Transfer-Encoding: identity\r\n"), Fault::client_bad_framing},
        Case{"XChunked", post("Transfer-Encoding: xchunked\r\n"), Fault::client_bad_framing},
        Case{"ChunkedInOldHttp", "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n",
             Fault::client_bad_framing},
        Case{"ChunkedInAnyCase", post("Transfer-Encoding: ChUnKeD\r\n"), Fault::none},
        Case{"ConnectionListsTransferEncoding", post("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n"),
             Fault::none},  // CVE-2026-26365: framing stays what it is
        Case{"LengthOfZero", post("Content-Length: 0\r\n"), Fault::none},
        Case{"OldHttpWithLength", "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n", Fault::none}),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    HostAndTarget, Heads,
    testing::Values(  // RFC 9112 section 3.2
        Case{"NoHost", get("/", ""), Fault::client_bad_request},
        Case{"TwoHosts", get("/", host + host), Fault::client_bad_request},
        Case{"TwoDifferentHosts", get("/", host + "Host: b.test\r\n"), Fault::client_bad_request},
        Case{"HostIsAList", get("/", "Host: a.test, b.test\r\n"), Fault::client_bad_request},
        Case{"HostWithUser", get("/", "Host: me@a.test\r\n"), Fault::client_bad_request},
        Case{"HostWithPath", get("/", "Host: a.test/x\r\n"), Fault::client_bad_request},
        Case{"HostWithSpace", get("/", "Host: a test\r\n"), Fault::client_bad_request},
        Case{"HostWithTwoPorts", get("/", "Host: a.test:1:2\r\n"), Fault::client_bad_request},
        Case{"HostWithLongPort", get("/", "Host: a.test:123456\r\n"), Fault::client_bad_request},
        Case{"HostIsOnlyAPort", get("/", "Host: :80\r\n"), Fault::client_bad_request},
        Case{"HostWithOpenBracket", get("/", "Host: [::1\r\n"), Fault::client_bad_request},
        Case{"HostWithBadLiteral", get("/", "Host: [::g]\r\n"), Fault::client_bad_request},
        Case{"HostBehindBracket", get("/", "Host: [::1]x\r\n"), Fault::client_bad_request},
        Case{"HostLiteral", get("/", "Host: [2001:db8::1]:8443\r\n"), Fault::none},
        Case{"HostWithPort", get("/", "Host: a.test:8443\r\n"), Fault::none},
        Case{"OldHttpWithoutHost", "GET / HTTP/1.0\r\n\r\n", Fault::none},
        Case{"OldHttpWithTwoHosts", "GET / HTTP/1.0\r\n" + host + host + "\r\n", Fault::client_bad_request},
        Case{"Absolute", get("http://a.test/x?y"), Fault::none},
        Case{"AbsoluteInAnyCase", get("HTTPS://A.TEST/"), Fault::none},
        Case{"AbsoluteWithoutPath", get("http://a.test"), Fault::none},
        Case{"AbsoluteWithoutHostField", get("http://a.test/", ""), Fault::client_bad_request},
        Case{"AbsoluteDisagreesWithHost", get("http://b.test/"), Fault::client_bad_request},
        Case{"AbsoluteWithUser", get("http://me@a.test/"), Fault::client_bad_request},
        Case{"AbsoluteWithoutAuthority", get("http:///x"), Fault::client_bad_request},
        Case{"AbsoluteOfAnotherScheme", get("ftp://a.test/"), Fault::client_bad_request},
        Case{"OnlyAScheme", get("http"), Fault::client_bad_request},
        Case{"OnlyASchemeAndColon", get("https:"), Fault::client_bad_request},
        Case{"OnlyASchemeAndSlashes", get("https://"), Fault::client_bad_request},
        Case{"NoSchemeAtAll", get("a.test/x"), Fault::client_bad_request},
        Case{"AuthorityForm", get("a.test:443"), Fault::client_bad_request},
        Case{"Fragment", get("/x#y"), Fault::client_bad_request},       // CVE-2021-32779, CVE-2023-45539
        Case{"SpaceInTarget", get("/a b"), Fault::client_bad_request},  // CVE-2013-4547
        Case{"TabInTarget", get("/a\tb"), Fault::client_bad_request},
        Case{"NonAsciiTarget", get("/\xc3\xa9"), Fault::client_bad_request},
        Case{"StarWithGet", get("*"), Fault::client_bad_request},
        Case{"StarWithOptions", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", Fault::none},
        Case{"EmptyTarget", "GET  HTTP/1.1\r\n" + host + "\r\n", Fault::client_bad_request}),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    MethodsAndLimits, Heads,
    testing::Values(
        Case{"Connect", "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", Fault::client_method_refused},
        Case{"Trace", "TRACE / HTTP/1.1\r\n" + host + "\r\n", Fault::client_method_refused},
        Case{"UnknownMethod", "PURGE / HTTP/1.1\r\n" + host + "\r\n", Fault::none},
        Case{"ExpectContinue", post("Expect: 100-Continue\r\nContent-Length: 1\r\n"), Fault::none},
        Case{"ExpectOther", post("Expect: 200-ok\r\n"), Fault::client_expectation},
        Case{"ExpectTwoThings", post("Expect: 100-continue, x\r\n"), Fault::client_expectation},
        Case{"LongestTarget", get("/" + std::string(8191, 'x')), Fault::none},
        Case{"TargetTooLong", get("/" + std::string(8192, 'x')), Fault::client_target_too_long},
        Case{"TargetFarTooLong", get("/" + std::string(30'000, 'x')), Fault::client_target_too_long},
        Case{"HeadTooLarge", get("/", host + "X: " + std::string(33'000, 'x') + "\r\n"), Fault::client_head_too_large},
        Case{"TooManyFields",
             get(
                 "/", host +
                          [] {
                              std::string many;
                              for (int i = 0; i < 100; ++i) many += "x: y\r\n";
                              return many;
                          }()),
             Fault::client_head_too_large},
        Case{"AsManyFieldsAsAllowed",
             get(
                 "/", host +
                          [] {
                              std::string many;
                              for (int i = 0; i < 99; ++i) many += "x: y\r\n";
                              return many;
                          }()),
             Fault::none},
        Case{"Http2Preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Fault::client_bad_request},
        Case{"TlsOnAPlainPort", std::string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", 12},
             Fault::client_bad_request},
        Case{"BareLineFeeds", "GET / HTTP/1.1\nHost: a.test\n\n", Fault::client_bad_request}),
    [](const auto& row) { return row.param.name; });

TEST_F(CodecTest, EmptyLinesBeforeARequestAreSkippedHoweverTheyCome) {
    ASSERT_EQ(read("\r\n\r\n" + get("/one")), Read::ready);
    EXPECT_EQ(codec.request().target, "/one");
    codec.begin_request(limits);
    ASSERT_EQ(read("\r"), Read::pending);
    ASSERT_EQ(read("\n\r"), Read::pending);
    EXPECT_FALSE(codec.head_started());
    ASSERT_EQ(read("\n" + get("/two")), Read::ready);
    EXPECT_EQ(codec.request().target, "/two");
}

TEST_F(CodecTest, ASenderOfNothingButEmptyLinesIsRefused) {
    std::string lines;
    for (int i = 0; i < 1000; ++i) lines += "\r\n";
    EXPECT_EQ(read(lines), Read::refused);
}

TEST_F(CodecTest, AHeadLimitAboveWhatABufferHoldsIsStillALimit) {
    limits.head_bytes = 1024 * 1024;
    limits.target_bytes = 64 * 1024;
    Read got = read("GET / HTTP/1.1\r\n" + host);
    const std::string field = "X: " + std::string(1000, 'x') + "\r\n";
    for (int i = 0; i < 1100 && got == Read::pending; ++i) got = read(field);
    EXPECT_EQ(got, Read::refused) << "and neither an exception nor a wait that nothing ends";
    EXPECT_EQ(codec.fault(), Fault::client_head_too_large);
}

TEST_F(CodecTest, ARequestKnowsItsParts) {
    ASSERT_EQ(read("PUT http://A.test:8080?no HTTP/1.1\r\nHost: a.test:8080\r\n\r\n"), Read::refused);
    codec.begin_request(limits);
    ASSERT_EQ(read("PUT /p/q?r=/s?t HTTP/1.1\r\nHost: A.test.:8080\r\nContent-Length: 12\r\n\r\n"), Read::ready);
    const auto& request = codec.request();
    EXPECT_EQ(request.method, "PUT");
    EXPECT_EQ(request.target, "/p/q?r=/s?t");
    EXPECT_EQ(request.path, "/p/q");
    EXPECT_EQ(request.authority, "A.test.:8080");
    EXPECT_EQ(request.host, "A.test");
    EXPECT_EQ(request.framing.kind, Framing::Kind::length);
    EXPECT_EQ(request.framing.length, 12U);
    EXPECT_TRUE(request.secure);
    EXPECT_EQ(request.protocol, message::Protocol::http11);
}

TEST_F(CodecTest, AnAbsoluteTargetBecomesOriginForm) {
    ASSERT_EQ(read(get("http://a.test/x?y")), Read::ready);
    EXPECT_EQ(codec.request().target, "/x?y");
    EXPECT_EQ(codec.request().path, "/x");
    codec.begin_request(limits);
    ASSERT_EQ(read(get("http://a.test")), Read::ready);
    EXPECT_EQ(codec.request().target, "/");
    codec.begin_request(limits);
    ASSERT_EQ(read("OPTIONS http://a.test HTTP/1.1\r\n" + host + "\r\n"), Read::ready);
    EXPECT_EQ(codec.request().target, "*");
}

TEST_F(CodecTest, OldHttpClosesUnlessItAsksToKeep) {
    ASSERT_EQ(read("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), Read::ready);
    EXPECT_TRUE(codec.keeps_alive());
    codec.begin_request(limits);
    ASSERT_EQ(read("GET / HTTP/1.0\r\n\r\n"), Read::ready);
    EXPECT_FALSE(codec.keeps_alive());
}

TEST_F(CodecTest, ConnectionCloseClosesHoweverItIsWritten) {
    ASSERT_EQ(read(get("/", host + "Connection: keep-alive\r\nconnection: x, CLOSE\r\n")), Read::ready);
    EXPECT_FALSE(codec.keeps_alive());
}

TEST_F(CodecTest, ABodyByLengthEndsWhereItSaysAndLeavesTheNextHeadAlone) {
    const std::string next = get("/next");
    ASSERT_EQ(read(post("Content-Length: 5\r\n") + "hello" + next), Read::ready);
    EXPECT_FALSE(codec.body_complete());
    EXPECT_EQ(take_body(), "hello");
    EXPECT_TRUE(codec.body_complete());
    EXPECT_EQ(stream.in().view(), next);
    codec.begin_request(limits);
    ASSERT_EQ(codec.read_head(), Read::ready);
    EXPECT_EQ(codec.request().target, "/next");
    EXPECT_TRUE(codec.body_complete());
}

TEST_F(CodecTest, AChunkedBodyByteByByte) {
    ASSERT_EQ(read(post("Transfer-Encoding: chunked\r\n")), Read::ready);
    const std::string wire = "5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n" + get("/next");
    std::string all;
    bool complete = false;
    for (std::size_t i = 0; i < wire.size(); ++i) {
        send({&wire[i], 1});
        for (;;) {
            const auto body = codec.body();
            ASSERT_EQ(body.fault, Fault::none) << i;
            all += body.bytes;
            complete = body.complete;
            if (body.bytes.empty()) break;
            codec.consume_body(body.bytes.size());
        }
        if (complete) break;
    }
    EXPECT_EQ(all, "hello!");
    EXPECT_TRUE(complete);
    EXPECT_EQ(codec.request_trailers(), "X-Sum: 1\r\n");
    EXPECT_TRUE(stream.in().empty()) << "the next request was not sent yet";
}

TEST_F(CodecTest, AChunkTakenInSmallPartsIsTheSameChunk) {
    ASSERT_EQ(read(post("Transfer-Encoding: chunked\r\n") + "a\r\n0123456789\r\n3\r\nabc\r\n0\r\n\r\n" + get("/next")),
              Read::ready);
    std::string all;
    for (;;) {
        const auto body = codec.body();
        ASSERT_EQ(body.fault, Fault::none);
        if (body.complete) break;
        const auto part = body.bytes.substr(0, 3);
        all += part;
        codec.consume_body(part.size());
    }
    EXPECT_EQ(all, "0123456789abc");
    EXPECT_EQ(stream.in().view(), get("/next"));
}

TEST_F(CodecTest, AMalformedChunkIsAFramingFault) {
    ASSERT_EQ(read(post("Transfer-Encoding: chunked\r\n") + "5\r\nhelloXX"), Read::ready);  // CVE-2025-43859
    auto body = codec.body();
    ASSERT_EQ(body.bytes, "hello");
    codec.consume_body(5);
    EXPECT_EQ(codec.body().fault, Fault::client_bad_framing);
    EXPECT_EQ(codec.body().fault, Fault::client_bad_framing) << "and stays one";
}

TEST_F(CodecTest, AClientThatLeavesInsideItsBodyIsGone) {
    ASSERT_EQ(read(post("Content-Length: 5\r\n") + "hel"), Read::ready);
    hang_up();
    EXPECT_FALSE(codec.gone()) << "reading the body tells";
    auto body = codec.body();
    ASSERT_EQ(body.bytes, "hel");
    codec.consume_body(3);
    EXPECT_EQ(codec.body().fault, Fault::client_gone);
}

TEST_F(CodecTest, AClientThatHangsUpWhileItWaitsForItsAnswerIsGone) {
    ASSERT_EQ(read(get("/")), Read::ready);
    EXPECT_FALSE(codec.gone());
    hang_up();
    EXPECT_TRUE(codec.gone());
}

TEST_F(CodecTest, AnEndBeforeAHeadIsQuiet) {
    hang_up();
    EXPECT_EQ(codec.read_head(), Read::closed);
    EXPECT_FALSE(codec.head_started());
}

}  // namespace
}  // namespace nearhop::client
