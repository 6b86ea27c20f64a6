#include "proxy/message/forwarded.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace nearhop::message {
namespace {

struct Row {
    const char* what;
    std::vector<std::pair<const char*, const char*>> sent;  ///< fields of the peer
    std::string chain;                                      ///< X-Forwarded-For, but for the peer at its end
    std::string proto, host;
    std::string forwarded;  ///< but for the peer's own element
    unsigned hops = 1;      ///< that led to the client
    bool secure = false;    ///< the peer came over https
    bool trusted = true;
    const char* peer = "192.0.2.7";
};

// Host and scheme of the request itself, as the edge got it.
const std::string own = "edge.test";

/// `said`, and host and scheme behind the first element and the peer's.
std::string with(const std::string& element, const std::string& proto, const std::string& host) {
    return element + ";host=\"" + host + "\";proto=" + proto;
}
std::string https(const std::string& element) { return with(element, "https", own); }
std::string http(const std::string& element) { return with(element, "http", own); }

std::vector<Row> rows() {
    const std::string c = "203.0.113.5";
    return {
        {"nothing", {}, "", "http", own, ""},
        {"nothing, over https", {}, "", "https", own, "", 0, true},
        // X-Forwarded-* alone: RFC 7239 section 7.4
        {"X-For and X-Proto",
         {{"X-Forwarded-For", "203.0.113.5"}, {"X-Forwarded-Proto", "https"}},
         c + ", ",
         "https",
         own,
         https("for=" + c) + ", "},
        {"the same from an https peer that says http",
         {{"X-Forwarded-For", "203.0.113.5"}, {"X-Forwarded-Proto", "http"}},
         c + ", ",
         "http",
         own,
         http("for=" + c) + ", ",
         1,
         true},
        {"X-For alone", {{"X-Forwarded-For", "203.0.113.5"}}, c + ", ", "http", own, http("for=" + c) + ", "},
        {"X-For alone, over https",
         {{"X-Forwarded-For", "203.0.113.5"}},
         c + ", ",
         "https",
         own,
         https("for=" + c) + ", ",
         1,
         true},
        {"X-Proto alone", {{"X-Forwarded-Proto", "https"}}, "", "https", own, ""},
        {"X-Host alone", {{"X-Forwarded-Host", "public.test:8443"}}, "", "http", "public.test:8443", ""},
        {"all three",
         {{"X-Forwarded-For", "203.0.113.5"}, {"X-Forwarded-Proto", "https"}, {"X-Forwarded-Host", "public.test"}},
         c + ", ",
         "https",
         "public.test",
         with("for=" + c, "https", "public.test") + ", "},
        {"several hops",
         {{"X-Forwarded-For", "203.0.113.5,198.51.100.1"},
          {"X-Forwarded-For", "198.51.100.2"},
          {"X-Forwarded-Proto", "https"}},
         "203.0.113.5, 198.51.100.1, 198.51.100.2, ",
         "https",
         own,
         https("for=" + c) + ", for=198.51.100.1, for=198.51.100.2, "},
        {"the RFC's own",
         {{"X-Forwarded-For", "192.0.2.43, 2001:db8:cafe::17"}},
         "192.0.2.43, 2001:db8:cafe::17, ",
         "http",
         own,
         http("for=192.0.2.43") + ", for=\"[2001:db8:cafe::17]\", "},
        {"ports and brackets",
         {{"X-Forwarded-For", "192.0.2.1:4711, [2001:db8::1], [2001:db8::1]:80"}},
         "192.0.2.1:4711, [2001:db8::1], [2001:db8::1]:80, ",
         "http",
         own,
         http("for=\"192.0.2.1:4711\"") + ", for=\"[2001:db8::1]\", for=\"[2001:db8::1]:80\", "},
        {"who is hidden",
         {{"X-Forwarded-For", "unknown, _hidden, 203.0.113.5"}},
         "unknown, _hidden, 203.0.113.5, ",
         "http",
         own,
         http("for=unknown") + ", for=_hidden, for=203.0.113.5, "},
        {"what is no hop",
         {{"X-Forwarded-For", "gate way, \"a\", 1.2.3, fe80::1%eth0, 10.0.0.1:0"}},
         "gate way, \"a\", 1.2.3, fe80::1%eth0, 10.0.0.1:0, ",
         "http",
         own,
         http("for=unknown") + ", for=unknown, for=unknown, for=unknown, for=unknown, "},
        {"empty entries",
         {{"X-Forwarded-For", ", ,"}, {"X-Forwarded-For", ""}, {"X-Forwarded-For", " 203.0.113.5 ,"}},
         c + ", ",
         "http",
         own,
         http("for=" + c) + ", "},
        {"schemes of several",
         {{"X-Forwarded-Proto", "https, http"}, {"X-Forwarded-Proto", "http"}},
         "",
         "https",
         own,
         ""},
        {"hosts of several", {{"X-Forwarded-Host", "one.test, two.test"}}, "", "http", "one.test", ""},
        {"a scheme that is none", {{"X-Forwarded-Proto", "1\";for=evil"}}, "", "http", own, ""},
        {"a host that is none", {{"X-Forwarded-Host", "a\"b"}}, "", "http", own, ""},
        {"an IPv6 host", {{"X-Forwarded-Host", "[2001:db8::1]:8443"}}, "", "http", "[2001:db8::1]:8443", ""},
        // Forwarded alone
        {"Forwarded",
         {{"Forwarded", "for=203.0.113.5;proto=https;host=public.test"}},
         c + ", ",
         "https",
         "public.test",
         with("for=" + c, "https", "public.test") + ", "},
        {"Forwarded that says nothing of the scheme",
         {{"Forwarded", "for=203.0.113.5"}},
         c + ", ",
         "http",
         own,
         http("for=" + c) + ", "},
        {"Forwarded from an https peer",
         {{"Forwarded", "For=203.0.113.5;Proto=http"}},
         c + ", ",
         "http",
         own,
         http("For=" + c) + ", ",
         1,
         true},
        {"Forwarded with other parameters",
         {{"Forwarded", "by=_edge ; for=203.0.113.5;secret=\"a;b,c\\\"d\";proto=https"}},
         c + ", ",
         "https",
         own,
         https("by=_edge;for=203.0.113.5;secret=\"a;b,c\\\"d\"") + ", "},
        {"empty parameters and empty elements",
         {{"Forwarded", ", ;for=203.0.113.5;; proto=https ; ,, for=198.51.100.1;,"}, {"Forwarded", ""}},
         "203.0.113.5, 198.51.100.1, ",
         "https",
         own,
         https("for=" + c) + ", for=198.51.100.1, ",
         2},
        {"IPv6 and ports",
         {{"Forwarded", "for=\"[2001:db8:cafe::17]:4711\", for=\"192.0.2.43:80\", for=[2001:db8::1]"}},
         "2001:db8:cafe::17, 192.0.2.43, 2001:db8::1, ",
         "http",
         own,
         http("for=\"[2001:db8:cafe::17]:4711\"") + ", for=\"192.0.2.43:80\", for=\"[2001:db8::1]\", "},
        {"identifiers",
         {{"Forwarded", "for=unknown, for=_gazonk, for=\"_a:_b\", for=\"\""}},
         "unknown, _gazonk, unknown, unknown, ",
         "http",
         own,
         http("for=unknown") + ", for=_gazonk, for=\"_a:_b\", for=\"\", "},
        {"the scheme alone", {{"Forwarded", "proto=https"}}, "", "https", own, ""},
        {"the client's hop, not what it wrote itself",
         {{"Forwarded", "for=198.51.100.66;proto=https;host=evil.test"},
          {"Forwarded", "for=203.0.113.5;proto=http;host=public.test"}},
         "198.51.100.66, 203.0.113.5, ",
         "http",
         "public.test",
         with("for=198.51.100.66", "http", "public.test") + ", for=203.0.113.5, "},
        {"the client's hop, two trusted ones behind it",
         {{"Forwarded", "for=203.0.113.5;proto=https;host=public.test, for=10.0.0.1;proto=http;host=inner.test"}},
         "203.0.113.5, 10.0.0.1, ",
         "https",
         "public.test",
         with("for=" + c, "https", "public.test") + ", for=10.0.0.1, ",
         2},
        {"a client that was found otherwise",
         {{"Forwarded", "for=203.0.113.5;proto=https, for=10.0.0.1;proto=http"}},
         "203.0.113.5, 10.0.0.1, ",
         "http",
         own,
         http("for=" + c) + ", for=10.0.0.1, ",
         0},
        // Malformed: a hop that nobody knows
        {"an open quote",
         {{"Forwarded", "for=\"203.0.113.5;proto=https"}},
         "unknown, ",
         "http",
         own,
         http("for=unknown") + ", "},
        {"a text behind a quote",
         {{"Forwarded", "for=\"203.0.113.5\"x"}},
         "unknown, ",
         "http",
         own,
         http("for=unknown") + ", "},
        {"no value", {{"Forwarded", "for=;proto=https"}}, "unknown, ", "http", own, http("for=unknown") + ", "},
        {"no name", {{"Forwarded", "=203.0.113.5"}}, "unknown, ", "http", own, http("for=unknown") + ", "},
        {"a word", {{"Forwarded", "203.0.113.5"}}, "unknown, ", "http", own, http("for=unknown") + ", "},
        {"a blank inside", {{"Forwarded", "for = 203.0.113.5"}}, "unknown, ", "http", own, http("for=unknown") + ", "},
        {"for twice",
         {{"Forwarded", "for=203.0.113.5;for=198.51.100.1"}},
         "unknown, ",
         "http",
         own,
         http("for=unknown") + ", "},
        {"proto twice",
         {{"Forwarded", "proto=https;for=203.0.113.5;PROTO=http"}},
         "unknown, ",
         "http",
         own,
         http("for=unknown") + ", "},
        {"one bad line of two",
         {{"Forwarded", "for=203.0.113.5"}, {"Forwarded", "for"}},
         "203.0.113.5, unknown, ",
         "http",
         own,
         http("for=" + c) + ", for=unknown, "},
        {"a quote that swallows what is appended",
         {{"Forwarded", "for=\"198.51.100.66, for=203.0.113.5;proto=https"}},
         "unknown, 203.0.113.5, ",
         "https",
         own,
         https("for=unknown") + ", for=203.0.113.5, "},
        {"the same with quotes in what is appended",
         {{"Forwarded", "for=\"a\\\", for=\"[2001:db8::5]\""}},
         "unknown, 2001:db8::5, ",
         "http",
         own,
         http("for=unknown") + ", for=\"[2001:db8::5]\", "},
        {"both agree that nobody knows",
         {{"X-Forwarded-For", "gateway"}, {"Forwarded", "for=;by=_b"}},
         "gateway, ",
         "http",
         own,
         http("for=unknown") + ", "},
        {"a scheme and a host that are none",
         {{"Forwarded", "for=203.0.113.5;proto=\"a b\";host=\"a\\\"b\""}},
         c + ", ",
         "http",
         own,
         http("for=" + c) + ", "},
        // Both
        {"both agree",
         {{"X-Forwarded-For", "203.0.113.5"},
          {"X-Forwarded-Proto", "https"},
          {"Forwarded", "for=203.0.113.5;proto=https;by=_b"}},
         c + ", ",
         "https",
         own,
         https("for=203.0.113.5;by=_b") + ", "},
        {"both agree but for ports and spelling",
         {{"X-Forwarded-For", "203.0.113.5, 2001:DB8::1, UNKNOWN"},
          {"Forwarded", "for=\"203.0.113.5:80\", for=\"[2001:db8:0::1]\", for=unknown"}},
         "203.0.113.5, 2001:DB8::1, UNKNOWN, ",
         "http",
         own,
         http("for=\"203.0.113.5:80\"") + ", for=\"[2001:db8:0::1]\", for=unknown, "},
        {"one knows the scheme, the other the hops",
         {{"X-Forwarded-Proto", "https"}, {"Forwarded", "for=203.0.113.5"}},
         c + ", ",
         "https",
         own,
         https("for=" + c) + ", "},
        {"the other way round",
         {{"X-Forwarded-For", "203.0.113.5"}, {"Forwarded", "proto=https"}},
         c + ", ",
         "http",
         own,
         http("for=" + c) + ", "},
        {"they agree on hops, not on the scheme",
         {{"X-Forwarded-For", "203.0.113.5"},
          {"X-Forwarded-Proto", "https"},
          {"Forwarded", "for=203.0.113.5;proto=http"}},
         c + ", ",
         "https",
         own,
         https("for=" + c) + ", "},
        {"they contradict: a balancer that lets a client's Forwarded pass",
         {{"X-Forwarded-For", "203.0.113.5"},
          {"X-Forwarded-Proto", "http"},
          {"Forwarded", "for=127.0.0.1;proto=https;host=evil.test"}},
         c + ", ",
         "http",
         own,
         http("for=" + c) + ", "},
        {"Forwarded names fewer",
         {{"X-Forwarded-For", "198.51.100.66, 203.0.113.5"}, {"Forwarded", "for=203.0.113.5;proto=https"}},
         "198.51.100.66, 203.0.113.5, ",
         "http",
         own,
         http("for=198.51.100.66") + ", for=203.0.113.5, "},
        {"Forwarded names more",
         {{"X-Forwarded-For", "203.0.113.5"}, {"Forwarded", "for=203.0.113.5, for=198.51.100.1"}},
         c + ", ",
         "http",
         own,
         http("for=" + c) + ", "},
        // The peer
        {"an IPv6 peer",
         {{"X-Forwarded-For", "2001:db8::5"}, {"X-Forwarded-Proto", "https"}},
         "2001:db8::5, ",
         "https",
         own,
         https("for=\"[2001:db8::5]\"") + ", ",
         1,
         false,
         true,
         "2001:db8::7"},
        {"a stranger",
         {{"X-Forwarded-For", "203.0.113.5"},
          {"X-Forwarded-Proto", "https"},
          {"X-Forwarded-Host", "evil.test"},
          {"Forwarded", "for=203.0.113.5;proto=https"}},
         "",
         "http",
         own,
         "",
         0,
         false,
         false},
        {"a stranger over https",
         {{"X-Forwarded-Proto", "http"}, {"Forwarded", "for=evil;proto=http"}},
         "",
         "https",
         own,
         "",
         0,
         true,
         false,
         "2001:db8::7"},
    };
}

std::string text_of(const std::vector<std::pair<const char*, const char*>>& sent, const Row& how,
                    std::string_view host = own) {
    std::vector<wire::Field> fields;
    for (const auto& [name, value] : sent) fields.push_back({name, value, wire::classify(name)});
    Request request;
    request.fields = fields;
    request.authority = host;
    request.secure = how.secure;
    Forwarding forwarding;
    forwarding.peer = *geo::Address::parse(how.peer);
    forwarding.trusted = how.trusted;
    forwarding.hops = how.hops;
    wire::Buffer out;
    write_forwarded(request, forwarding, out);
    return std::string{out.view()};
}

TEST(Forwarded, BothFamiliesSayTheSame) {
    for (const Row& row : rows()) {
        const std::string peer = row.peer;
        const std::string element = peer.find(':') == peer.npos ? "for=" + peer : "for=\"[" + peer + "]\"";
        EXPECT_EQ(text_of(row.sent, row), "X-Forwarded-For: " + row.chain + peer +
                                              "\r\nX-Forwarded-Proto: " + row.proto +
                                              "\r\nX-Forwarded-Host: " + row.host + "\r\nForwarded: " + row.forwarded +
                                              with(element, row.proto, row.host) + "\r\n")
            << row.what;
    }
}

TEST(Forwarded, WithoutAHostNobodySaysOne) {  // HTTP/1.0
    const Row row{"", {}, "", "", "", ""};
    EXPECT_EQ(text_of({{"X-Forwarded-For", "203.0.113.5"}}, row, ""),
              "X-Forwarded-For: 203.0.113.5, 192.0.2.7\r\nX-Forwarded-Proto: http\r\n"
              "Forwarded: for=203.0.113.5;proto=http, for=192.0.2.7;proto=http\r\n");
}

TEST(Forwarded, OfALongChainTheLastHopsGoOnInBoth) {
    std::string listed, elements;
    for (int i = 0; i < 100; ++i) {
        const std::string hop = "10.0.0." + std::to_string(i);
        listed += (i == 0 ? "" : ", ") + hop;
        elements += (i == 0 ? "for=" : ", for=") + hop;
    }
    const Row row{"", {}, "", "", "", ""};
    const auto by_list = text_of({{"X-Forwarded-For", listed.c_str()}}, row);
    EXPECT_TRUE(by_list.starts_with("X-Forwarded-For: 10.0.0.36, 10.0.0.37, ")) << by_list;
    EXPECT_NE(by_list.find("Forwarded: for=10.0.0.36;host=\"edge.test\";proto=http, for=10.0.0.37, "),
              std::string::npos)
        << by_list;
    EXPECT_EQ(text_of({{"Forwarded", elements.c_str()}}, row), by_list);
}

TEST(Forwarded, GrowsByLittleWhateverIsSent) {
    const std::string junk(100'000, 'x'), quoted = "for=\"" + junk + "\"",
                                          chain = "a," + std::string(50'000, ',') + junk;
    const Row row{"", {}, "", "", "", ""};
    for (const auto& [name, value] : {std::pair{"X-Forwarded-For", junk},
                                      {"X-Forwarded-For", chain},
                                      {"X-Forwarded-Proto", junk},
                                      {"X-Forwarded-Host", junk},
                                      {"Forwarded", quoted},
                                      {"Forwarded", "proto=" + junk},
                                      {"Forwarded", "host=" + junk}})
        EXPECT_LT(text_of({{name, value.c_str()}}, row).size(), value.size() + 600) << name;
}

}  // namespace
}  // namespace nearhop::message
