#include "proxy/message/headers.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nearhop::message {
namespace {

using wire::Framing;

/// What an origin gets, built from field lines as a client wrote them.
struct Headers : testing::Test {
    Headers() {
        site.host_header = "client";
        origin.host_field = "origin.test";
        how.peer = *geo::Address::parse("192.0.2.7");
        how.request_id = "0123abc";
        request.method = "GET";
        request.target = "/p?q";
        request.authority = request.host = "a.test";
    }
    void field(std::string_view name, std::string_view value) { fields.push_back({name, value, wire::classify(name)}); }
    std::string write() {
        request.fields = fields;
        wire::Buffer out;
        write_request_head(request, how, site, origin, out);
        return std::string{out.view()};
    }
    /// Values of all lines with this name in any case.
    static std::vector<std::string> values(const std::string& head, std::string_view name) {
        std::vector<std::string> found;
        for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
            const auto end = head.find("\r\n", at);
            const auto colon = head.find(": ", at);
            if (colon < end && wire::equal_ignoring_case(std::string_view{head}.substr(at, colon - at), name))
                found.push_back(head.substr(colon + 2, end - colon - 2));
            at = end + 2;
        }
        return found;
    }
    std::vector<std::string> sent(std::string_view name) { return values(write(), name); }
    using List = std::vector<std::string>;

    std::vector<wire::Field> fields;
    Request request;
    Forwarding how;
    steering::SiteTable site;
    shared::OriginInfo origin;
};

TEST_F(Headers, OfASmallRequestWhole) {
    field("Host", "a.test");
    field("User-Agent", "test");
    EXPECT_EQ(write(),
              "GET /p?q HTTP/1.1\r\nHost: a.test\r\nUser-Agent: test\r\nVia: 1.1 nearhop\r\nX-Request-Id: 0123abc\r\n"
              "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.test\r\n"
              "Forwarded: for=192.0.2.7;host=\"a.test\";proto=https\r\n\r\n");
}

TEST_F(Headers, HopByHopFieldsStayHere) {  // RFC 9110 section 7.6.1
    for (const char* name :
         {"Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade"})
        field(name, "x");
    const auto head = write();
    for (const auto& each : fields) EXPECT_EQ(values(head, each.name), List{}) << each.name;
}

TEST_F(Headers, FieldsThatConnectionListsStayHere) {
    field("Connection", "X-Private , close");
    field("connection", "x-other");
    field("X-Private", "1");
    field("X-OTHER", "2");
    field("X-Public", "3");
    const auto head = write();
    EXPECT_EQ(values(head, "X-Private"), List{});
    EXPECT_EQ(values(head, "X-Other"), List{});
    EXPECT_EQ(values(head, "X-Public"), List{"3"});
}

TEST_F(Headers, AClientCannotListAwayWhatTheEdgeWrites) {  // CVE-2021-32813, CVE-2024-45410
    field("Connection",
          "Host, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded, Via, X-Request-Id, Content-Length");
    field("Host", "a.test");
    request.method = "POST";
    request.framing = {Framing::Kind::length, 5};
    const auto head = write();
    for (const char* name : {"Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Via",
                             "X-Request-Id", "Content-Length"})
        EXPECT_EQ(values(head, name).size(), 1U) << name;
}

TEST_F(Headers, AnOriginsOwnFieldsReplaceWhatAClientSends) {
    origin.header_lines = "X-Origin-Secret: right\r\n";
    origin.own_fields = {"X-Origin-Secret", "X-Debug"};
    how.keep_underscores = true;
    field("Connection", "X-Origin-Secret, X-Debug");
    for (const char* name : {"X-Origin-Secret", "x-origin-secret", "X_Origin_Secret", "X-Debug", "x_debug"})
        field(name, "evil");
    field("X-Debugger", "kept");
    const auto head = write();
    EXPECT_EQ(values(head, "X-Origin-Secret"), List{"right"});
    EXPECT_EQ(head.find("evil"), std::string::npos) << head;
    EXPECT_EQ(values(head, "X-Debugger"), List{"kept"});
}

TEST_F(Headers, ViaIsLeftOutBySiteOrByOrigin) {
    field("Via", "2.0 1234.cloudfront.net (CloudFront)");
    field("CDN-Loop", "cdn.example; v=1");
    const struct {
        bool site;
        std::optional<bool> origin;
        bool sent;
    } rows[] = {{true, std::nullopt, true}, {false, std::nullopt, false}, {true, false, false}, {false, true, true}};
    for (const auto& row : rows) {
        site.via = row.site;
        origin.via = row.origin;
        const auto head = write();
        EXPECT_EQ(values(head, "Via"),
                  row.sent ? (List{"2.0 1234.cloudfront.net (CloudFront)", "1.1 nearhop"}) : List{});
        EXPECT_EQ(values(head, "CDN-Loop"), row.sent ? List{"cdn.example; v=1"} : (List{"cdn.example; v=1", "nearhop"}))
            << "something has to keep watch for circles";
    }
}

TEST_F(Headers, HostIsTheClientsTheOriginsOrAName) {
    origin.host_field = "alb.test:8443";
    origin.server_name_field = "api.test";
    const std::pair<const char*, const char*> rows[] = {
        {"client", "a.test"}, {"origin", "alb.test:8443"}, {"server_name", "api.test"}, {"inner.test", "inner.test"}};
    for (const auto& [rule, host] : rows) {
        site.host_header = rule;
        EXPECT_EQ(sent("Host"), List{host}) << rule;
    }
    site.host_header = "client";
    request.authority = request.host = "";
    EXPECT_EQ(sent("Host"), List{"alb.test:8443"}) << "HTTP/1.0 may leave it out";
}

TEST(Passes, AreCountedByViaAndCdnLoop) {
    const struct {
        const char* name;
        const char* value;
        unsigned count;
    } rows[] = {{"Via", "1.1 nearhop", 1},
                {"Via", "1.1 nearhop, 2.0 cdn, HTTP/1.1\tNearhop (x)", 2},
                {"Via", "1.1 nearhop.example", 0},
                {"Via", "1.1 cdn (nearhop)", 0},
                {"Via", "nearhop", 0},
                {"Via", "", 0},
                {"Via", "1.1 ", 0},
                {"CDN-Loop", "nearhop", 1},
                {"CDN-Loop", "cdn.example; v=1, nearhop; x=1 , NEARHOP;y", 2},
                {"CDN-Loop", "nearhop2", 0},
                {"X-Via", "1.1 nearhop", 0}};
    std::vector<wire::Field> all;
    for (const auto& row : rows) {
        const wire::Field one{row.name, row.value, wire::classify(row.name)};
        EXPECT_EQ(passes({&one, 1}), row.count) << row.name << ": " << row.value;
        all.push_back(one);
    }
    EXPECT_EQ(passes(all), 6U);
}

TEST_F(Headers, AStrangersForwardedFieldsAreReplaced) {  // CVE-2026-30851
    for (const char* name :
         {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded", "X-Real-IP",
          "X-Request-Id", "X-Nearhop-Decision", "CloudFront-Viewer-Country"})
        field(name, "evil");
    const auto head = write();
    EXPECT_EQ(head.find("evil"), std::string::npos) << head;
    EXPECT_EQ(values(head, "X-Forwarded-For"), List{"192.0.2.7"});
}

TEST_F(Headers, ATrustedPeersForwardedFieldsAreKeptAndContinued) {
    how.trusted = true;
    field("X-Forwarded-For", "203.0.113.5");
    field("X-Forwarded-For", "198.51.100.1, 198.51.100.2");
    field("X-Forwarded-Proto", "http");
    field("X-Forwarded-Host", "public.test");
    field("X-Forwarded-Port", "80");
    field("Forwarded", "for=203.0.113.5");
    field("X-Real-IP", "203.0.113.5");
    field("CloudFront-Viewer-Country", "DE");
    field("X-Request-Id", "chosen-elsewhere");
    field("X-Nearhop-Decision", "evil");
    const auto head = write();
    EXPECT_EQ(values(head, "X-Forwarded-For"), List{"203.0.113.5, 198.51.100.1, 198.51.100.2, 192.0.2.7"});
    EXPECT_EQ(values(head, "X-Forwarded-Proto"), List{"http"});
    EXPECT_EQ(values(head, "X-Forwarded-Host"), List{"public.test"});
    EXPECT_EQ(values(head, "X-Forwarded-Port"), List{"80"});
    EXPECT_EQ(values(head, "X-Real-IP"), List{"203.0.113.5"});
    EXPECT_EQ(values(head, "CloudFront-Viewer-Country"), List{"DE"});
    EXPECT_EQ(values(head, "Forwarded"),
              List{"for=203.0.113.5;host=\"public.test\";proto=http, for=198.51.100.1, for=198.51.100.2, "
                   "for=192.0.2.7;host=\"public.test\";proto=http"})
        << "it said less than X-Forwarded-For";
    EXPECT_EQ(values(head, "X-Request-Id"), List{"0123abc"}) << "the exchange decides whether to take the peer's";
    EXPECT_EQ(values(head, "X-Nearhop-Decision"), List{});
}

TEST_F(Headers, EveryTrustedForwardedLineIsKept) {
    how.trusted = true;
    std::string all;
    std::vector<std::string> hops;
    hops.reserve(12);
    for (int i = 0; i < 12; ++i) hops.push_back("203.0.113." + std::to_string(i));
    for (const auto& hop : hops) {
        field("X-Forwarded-For", hop);
        all += hop + ", ";
    }
    std::vector<std::string> elements;
    elements.reserve(hops.size());
    for (const auto& hop : hops) elements.push_back("for=" + hop + ";secret=\"a,b\"");
    for (const auto& element : elements) field("Forwarded", element);
    const auto head = write();
    EXPECT_EQ(values(head, "X-Forwarded-For"), List{all + "192.0.2.7"});
    ASSERT_EQ(values(head, "Forwarded").size(), 1U);
    EXPECT_TRUE(
        values(head, "Forwarded")[0].starts_with("for=203.0.113.0;secret=\"a,b\";host=\"a.test\";proto=https, "
                                                 "for=203.0.113.1;secret=\"a,b\", for=203.0.113.2;"));
    EXPECT_TRUE(values(head, "Forwarded")[0].ends_with(", for=192.0.2.7;host=\"a.test\";proto=https"));
}

TEST_F(Headers, UnderscoreTwinsAreDroppedFromEveryone) {  // CVE-2026-39858
    how.trusted = true;
    for (const char* name :
         {"X_Forwarded_For", "X-Forwarded_Proto", "Content_Length", "Transfer_Encoding", "X_Real_IP"})
        field(name, "evil");
    field("X_Custom", "fine");
    EXPECT_EQ(sent("X_Custom"), List{}) << "the default";
    how.keep_underscores = true;
    const auto head = write();
    EXPECT_EQ(head.find("evil"), std::string::npos);
    EXPECT_EQ(values(head, "X_Custom"), List{"fine"});
}

TEST_F(Headers, WhatATrustedPeerSaysCannotBeListedAway) {
    how.trusted = true;
    field("Connection", "X-Forwarded-Proto, X-Real-IP, CloudFront-Viewer-Country, Via, X-Mine");
    field("X-Forwarded-Proto", "http");
    field("X-Real-IP", "192.0.2.1");
    field("CloudFront-Viewer-Country", "DE");
    field("X-Mine", "1");
    const auto head = write();
    EXPECT_EQ(values(head, "X-Forwarded-Proto"), List{"http"});
    EXPECT_EQ(values(head, "X-Real-IP"), List{"192.0.2.1"});
    EXPECT_EQ(values(head, "CloudFront-Viewer-Country"), List{"DE"});
    EXPECT_EQ(values(head, "Via"), List{"1.1 nearhop"});
    EXPECT_EQ(values(head, "X-Mine"), List{});
}

TEST_F(Headers, AKeyByWhichTheRequestMayBeRepeatedCannotBeListedAway) {
    field("Connection", "Idempotency-Key");
    field("Idempotency-Key", "\"a\"");
    EXPECT_EQ(sent("Idempotency-Key"), List{"\"a\""});
}

TEST_F(Headers, ExpectIsWrittenOnceAndOnlyWhereItMeansSomething) {  // RFC 9110 section 10.1.1
    field("Expect", "100-continue");
    field("expect", "100-Continue");
    EXPECT_EQ(sent("Expect"), List{});
    request.expects_continue = true;
    EXPECT_EQ(sent("Expect"), List{"100-continue"});
}

TEST_F(Headers, MaxForwardsOfOptionsIsOneLess) {  // RFC 9110 section 7.6.2
    field("Max-Forwards", "7");
    EXPECT_EQ(sent("Max-Forwards"), List{"7"}) << "of GET it is nobody's business";
    request.method = "OPTIONS";
    EXPECT_EQ(sent("Max-Forwards"), List{"6"});
    for (const char* bad : {"", "x", "-1", "-0", "+1", "1 2", "99999999999999999999"}) {
        fields = {{"Max-Forwards", bad, wire::Name::max_forwards}};
        request.fields = fields;
        EXPECT_TRUE(max_forwards(request).malformed) << bad;
    }
    fields = {{"Max-Forwards", "1", wire::Name::max_forwards}, {"Max-Forwards", "1", wire::Name::max_forwards}};
    request.fields = fields;
    EXPECT_TRUE(max_forwards(request).malformed);
}

TEST_F(Headers, TheNormalTargetReplacesTheOneThatWasSent) {
    how.target = "/normal?q";
    EXPECT_TRUE(write().starts_with("GET /normal?q HTTP/1.1\r\n"));
}

TEST_F(Headers, ASecretIsNeverForwarded) {
    const std::vector<std::string> secrets{"x-edge-secret", "x-other-secret"};
    how.secret_headers = secrets;
    for (const bool trusted : {false, true}) {
        how.trusted = trusted;
        fields.clear();
        field("X-EDGE-Secret", "hush");
        field("x-other-secret", "hush");
        EXPECT_EQ(write().find("hush"), std::string::npos);
    }
}

TEST_F(Headers, Ipv6AddressesAreQuotedInForwarded) {  // RFC 7239 section 6
    how.peer = *geo::Address::parse("2001:db8::1");
    request.authority = "[2001:db8::2]:8443";
    const auto head = write();
    EXPECT_EQ(values(head, "X-Forwarded-For"), List{"2001:db8::1"});
    EXPECT_EQ(values(head, "Forwarded"), List{"for=\"[2001:db8::1]\";host=\"[2001:db8::2]:8443\";proto=https"});
}

TEST_F(Headers, HostFollowsTheSite) {
    field("Host", "a.test");
    EXPECT_EQ(sent("Host"), List{"a.test"});
    site.host_header = "origin";
    EXPECT_EQ(sent("Host"), List{"origin.test"});
    site.host_header = "fixed.test";
    EXPECT_EQ(sent("Host"), List{"fixed.test"});
}

TEST_F(Headers, OldHttpWithoutHostGetsTheOrigins) {  // RFC 9112 section 3.2
    request.protocol = Protocol::http10;
    request.secure = false;
    request.authority = request.host = {};
    field("Expect", "100-continue");
    const auto head = write();
    EXPECT_EQ(values(head, "Host"), List{"origin.test"});
    EXPECT_EQ(values(head, "X-Forwarded-Host"), List{});
    EXPECT_EQ(values(head, "Forwarded"), List{"for=192.0.2.7;proto=http"});
    EXPECT_EQ(values(head, "Via"), List{"1.0 nearhop"});
    EXPECT_EQ(values(head, "Expect"), List{}) << "its client would not know a 100";
}

TEST_F(Headers, ViaIsAddedBehindTheClients) {
    field("Via", "1.0 fred");
    EXPECT_EQ(sent("Via"), (List{"1.0 fred", "1.1 nearhop"}));
}

TEST_F(Headers, FramingIsWrittenOnceFromWhatWasUnderstood) {
    field("Content-Length", "0005");
    field("Transfer-Encoding", "CHUNKED");
    request.method = "POST";
    request.framing = {Framing::Kind::length, 5};
    EXPECT_EQ(sent("Content-Length"), List{"5"});
    EXPECT_EQ(sent("Transfer-Encoding"), List{});
    request.framing = {Framing::Kind::chunked, 0};
    EXPECT_EQ(sent("Content-Length"), List{});
    EXPECT_EQ(sent("Transfer-Encoding"), List{"chunked"});
    request.framing = {};
    EXPECT_EQ(sent("Content-Length"), List{"0"});
    request.method = "GET";
    EXPECT_EQ(sent("Content-Length"), List{});
    EXPECT_TRUE(write().ends_with("\r\n\r\n"));
}

TEST(ResponseFields, LoseWhatConcernsTheOriginsConnectionOnly) {
    std::vector<wire::Field> fields;
    for (const auto& [name, value] : std::vector<std::pair<const char*, const char*>>{
             {"Server", "s"},
             {"Connection", "close, X-Internal"},
             {"X-Internal", "1"},
             {"Keep-Alive", "timeout=5"},
             {"Transfer-Encoding", "chunked"},
             {"Content-Length", "5"},
             {"Upgrade", "h2c"},
             {"X-Nearhop-Fault", "evil"},
             {"Set-Cookie", "a=b"},
             {"Set-Cookie", "c=d"},
             {"Trailer", "X"},
             {"Alt-Svc", "h3=\":8443\""},  // of the origin's: past this edge (RFC 7838)
             {"Via", "1.1 inner"}})
        fields.push_back({name, value, wire::classify(name)});
    wire::Buffer out;
    write_response_fields(fields, out);
    EXPECT_EQ(out.view(), "Server: s\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nVia: 1.1 inner\r\n");
}

TEST(Trailers, PassWhenTheyAreOnlyMetadata) {  // RFC 9110 section 6.5.1
    std::string out;
    EXPECT_TRUE(
        filter_trailers("X-Sum: 1\r\nContent-Length: 5\r\nHost: b\r\nTransfer-Encoding: chunked\r\n"
                        "X-Forwarded-For: 1.2.3.4\r\nX_Forwarded_For: 1\r\nConnection: close\r\nServer-Timing: x\r\n"
                        "X-Nearhop-Fault: x\r\nMax-Forwards: 1\r\nX_Sum: 2\r\n",
                        {}, {}, out));
    EXPECT_EQ(out, "X-Sum: 1\r\nServer-Timing: x\r\n");
}

TEST(Trailers, WithUnderscoresPassOnlyWhereTheyAreKept) {
    std::string out;
    EXPECT_TRUE(filter_trailers("X_Sum: 2\r\nX_Real_IP: 3\r\n", {}, {.keep_underscores = true}, out));
    EXPECT_EQ(out, "X_Sum: 2\r\n");
}

TEST(Trailers, ThatConnectionListsEndHere) {  // RFC 9110 section 7.6.1
    const std::vector<wire::Field> fields{{"Connection", "close, X-Sum", wire::Name::connection},
                                          {"Connection", "x-other", wire::Name::connection}};
    std::string out;
    EXPECT_TRUE(filter_trailers("X-Sum: 1\r\nX-Other: 2\r\nX-End: 3\r\n", fields, {}, out));
    EXPECT_EQ(out, "X-End: 3\r\n");
}

TEST(Trailers, CarryNothingThatAHeadMustNot) {  // an origin may merge them into it
    const std::vector<std::string> secrets{"x-edge-secret"};
    const std::vector<std::string> identity{"x-client-subject", "client-cert"};
    const std::string forged =
        "X-Client-Subject: CN=admin\r\nx_client_subject: CN=admin\r\nClient-Cert: :a:\r\n"
        "X-Edge-Secret: s\r\nX_Edge_Secret: s\r\nProxy_Authorization: x\r\nX-Sum: 1\r\n";
    std::string out;
    EXPECT_TRUE(filter_trailers(
        forged, {}, {.secret_headers = secrets, .identity_headers = identity, .keep_underscores = true}, out));
    EXPECT_EQ(out, "X-Sum: 1\r\n");
    out.clear();
    EXPECT_TRUE(filter_trailers("X-Health: drain\r\nX-Healthy: 1\r\n", {}, {.agent_header = "x-health"}, out));
    EXPECT_EQ(out, "X-Healthy: 1\r\n");
}

TEST(Trailers, CarryNoFieldOfTheOriginsOwn) {
    const std::vector<std::string> own{"X-Origin-Secret"};
    std::string out;
    EXPECT_TRUE(filter_trailers("x_origin_secret: evil\r\nX-Origin-Secret: evil\r\nX-Sum: 1\r\n", {},
                                {.own_fields = own, .keep_underscores = true}, out));
    EXPECT_EQ(out, "X-Sum: 1\r\n");
}

TEST(Trailers, ThatAreMalformedAreRefused) {
    for (const char* lines :
         {"no colon\r\n", ": x\r\n", "A B: x\r\n", "A : x\r\n", "A[: x\r\n", "\xc3: x\r\n", "A: x"}) {
        std::string out;
        EXPECT_FALSE(filter_trailers(lines, {}, {}, out)) << lines;
    }
    std::string out;
    EXPECT_TRUE(filter_trailers("", {}, {}, out));
    EXPECT_EQ(out, "");
}

}  // namespace
}  // namespace nearhop::message
