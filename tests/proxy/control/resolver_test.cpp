#include "proxy/control/resolver.h"

#include "tests/proxy/control/support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

namespace nearhop::control {
namespace {

using namespace std::chrono_literals;

conf::Dns settings_for(const DnsServer& server, std::chrono::milliseconds timeout = 2s) {
    conf::Dns dns;
    dns.servers = {{server.address()}};
    dns.timeout = timeout;
    return dns;
}

loop::Task<> resolve_into(Resolver& resolver, std::string name, std::vector<geo::Address> known, Resolved& result,
                          Resolver::Early early = {}) {
    result = co_await resolver.resolve(std::move(name), std::move(known), std::move(early));
}

Resolved resolve(const DnsServer& server, const std::string& name, std::vector<geo::Address> known = {},
                 std::chrono::milliseconds timeout = 2s) {
    loop::Loop loop;
    Resolver resolver{loop, settings_for(server, timeout)};
    Resolved result;
    EXPECT_TRUE(drive(loop, resolve_into(resolver, name, std::move(known), result)));
    return result;
}

std::string text_of(const std::vector<geo::Address>& addresses) {
    std::string text;
    for (const auto& address : addresses) text += (text.empty() ? "" : " ") + address.text();
    return text;
}

std::vector<geo::Address> addresses_of(std::initializer_list<const char*> texts) {
    std::vector<geo::Address> addresses;
    for (const char* text : texts) addresses.push_back(*geo::Address::parse(text));
    return addresses;
}

TEST(Resolver, GivesBothFamiliesInAStableOrderWithTheShortestTtl) {
    DnsServer server;
    server.set("a.test", false, {.addresses = {"192.0.2.9", "192.0.2.10", "192.0.2.1"}, .ttl = 40});
    server.set("a.test", true, {.addresses = {"2001:db8::2", "2001:db8::1"}, .ttl = 17});
    const auto first = resolve(server, "a.test");
    EXPECT_EQ(first.error, "");
    EXPECT_EQ(text_of(first.addresses), "192.0.2.1 192.0.2.9 192.0.2.10 2001:db8::1 2001:db8::2");
    EXPECT_EQ(first.ttl, 17s);
    server.set("a.test", false, {.addresses = {"192.0.2.1", "192.0.2.10", "192.0.2.9", "192.0.2.1"}, .ttl = 40});
    EXPECT_EQ(text_of(resolve(server, "a.test").addresses), text_of(first.addresses));
}

TEST(Resolver, AnAliasThatLivesShorterDecides) {
    DnsServer server;
    const std::string alias{"\xc0\x0c\0\5\0\1\0\0\0\5\0\x08\1b\4test\0", 20};  // CNAME b.test, 5 s
    server.set("a.test", false, {.addresses = {"192.0.2.1"}, .ttl = 60, .raw_records = alias});
    const auto resolved = resolve(server, "a.test");
    EXPECT_EQ(text_of(resolved.addresses), "192.0.2.1");
    EXPECT_EQ(resolved.ttl, 5s);
}

TEST(Resolver, OneFamilyIsEnough) {
    DnsServer server;
    server.set("four.test", false, {.addresses = {"192.0.2.1"}});
    server.set("four.test", true, {});  // no data
    server.set("six.test", true, {.addresses = {"2001:db8::1"}});
    EXPECT_EQ(text_of(resolve(server, "four.test").addresses), "192.0.2.1");
    EXPECT_EQ(resolve(server, "four.test").error, "");
    EXPECT_EQ(text_of(resolve(server, "six.test").addresses), "2001:db8::1");
}

TEST(Resolver, AHalfThatFailsKeepsWhatWasKnownAndOneThatIsEmptyDoesNot) {
    DnsServer server;
    server.set("a.test", false, {.addresses = {"192.0.2.1"}});
    server.set("a.test", true, {.code = 2});
    const auto known = addresses_of({"192.0.2.7", "2001:db8::7"});
    const auto half = resolve(server, "a.test", known);
    EXPECT_EQ(text_of(half.addresses), "192.0.2.1 2001:db8::7");
    EXPECT_NE(half.error, "");
    server.set("a.test", true, {});
    EXPECT_EQ(text_of(resolve(server, "a.test", known).addresses), "192.0.2.1");
}

// RFC 8305 section 3: an AAAA that does not come must not hold back an A that is there, nor the other way round.
TEST(Resolver, TheHalfThatIsThereIsHandedOverWhileTheOtherIsAwaited) {
    const DnsServer::Answer v4{.addresses = {"192.0.2.1"}}, v6{.addresses = {"2001:db8::1"}}, empty{},
        silent{.silent = true}, broken{.code = 2};
    const struct {
        const char* what;
        DnsServer::Answer a, aaaa;
        std::string early, at_last;
    } cases[] = {
        {"AAAA is silent", v4, silent, "192.0.2.1 2001:db8::7", "192.0.2.1 2001:db8::7"},
        {"A is silent", silent, v6, "192.0.2.7 2001:db8::1", "192.0.2.7 2001:db8::1"},
        {"both answer", v4, v6, "", "192.0.2.1 2001:db8::1"},
        {"one has no address", v4, empty, "", "192.0.2.1"},
        {"the one that answers has no address", empty, silent, "", ""},
        {"the one that answers fails", broken, silent, "", ""},
        {"both are silent", silent, silent, "", ""},
    };
    for (const auto& [what, a, aaaa, early, at_last] : cases) {
        DnsServer server;
        server.set("a.test", false, a);
        server.set("a.test", true, aaaa);
        loop::Loop loop;
        Resolver resolver{loop, settings_for(server, 1s)};
        std::string half;
        const auto began = loop::Clock::now();
        auto handed_over = began;
        Resolved result;
        EXPECT_TRUE(drive(loop, resolve_into(resolver, "a.test", addresses_of({"192.0.2.7", "2001:db8::7"}), result,
                                             [&](const Resolved& first) {
                                                 half = text_of(first.addresses);
                                                 handed_over = loop.now();
                                             })));
        // Where both answer, the second may be late on a busy machine.
        EXPECT_TRUE(half == early || (!a.silent && !aaaa.silent && result.seconds > 0.045)) << what << ": " << half;
        EXPECT_EQ(text_of(result.addresses), at_last) << what;
        EXPECT_EQ(result.error.empty(), !a.silent && !aaaa.silent) << what << ": " << result.error;
        if (!half.empty()) {
            EXPECT_GE(handed_over - began, Resolver::half_after - loop::Loop::tick) << what << ": both may yet come";
            EXPECT_LT(handed_over - began, 900ms) << what;
        }
    }
}

TEST(Resolver, AHalfThatComesLateIsAddedToTheOther) {
    DnsServer server;
    server.set("a.test", false, {.addresses = {"192.0.2.1"}});
    server.set("a.test", true, {.silent = true});
    loop::Loop loop;
    Resolver resolver{loop, settings_for(server, 2s)};
    int halves = 0;
    Resolved result;
    EXPECT_TRUE(drive(loop, resolve_into(resolver, "a.test", {}, result, [&](const Resolved& first) {
                          ++halves;
                          EXPECT_EQ(text_of(first.addresses), "192.0.2.1");
                          server.set("a.test", true, {.addresses = {"2001:db8::1"}});  // for the second try
                      })));
    EXPECT_EQ(halves, 1);
    EXPECT_EQ(text_of(result.addresses), "192.0.2.1 2001:db8::1");
    EXPECT_EQ(result.error, "");
}

TEST(Resolver, TakesTheConfiguredTimeAtMostWhateverServersAndTries) {
    DnsServer first, second, third;
    const std::vector<std::vector<const DnsServer*>> cases{{&first}, {&first, &second}, {&first, &second, &third}};
    for (auto* server : {&first, &second, &third})
        for (const bool v6 : {false, true}) server->set("a.test", v6, {.silent = true});
    for (const auto& servers : cases) {
        conf::Dns dns;
        for (const auto* server : servers) dns.servers.push_back({server->address()});
        dns.timeout = 1s;
        loop::Loop loop;
        Resolver resolver{loop, dns};
        Resolved result;
        EXPECT_TRUE(drive(loop, resolve_into(resolver, "a.test", {}, result)));
        EXPECT_TRUE(result.addresses.empty());
        EXPECT_GE(result.seconds, 0.99) << servers.size();
        EXPECT_LT(result.seconds, 2.5) << servers.size();
        EXPECT_NE(result.error, "") << servers.size();
        for (const auto* server : servers) EXPECT_GE(server->questions(), 2) << "each server of " << servers.size();
    }
}

TEST(Resolver, AnAnswerOfThousandsIsBounded) {
    DnsServer server;
    DnsServer::Answer many{.truncated_over_udp = true};
    for (int i = 0; i < 2000; ++i)
        many.addresses.push_back("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250));
    server.set("many.test", false, many);
    server.set("many.test", true, {.addresses = {"2001:db8::1"}});
    const auto known = addresses_of({"10.0.7.249", "10.1.0.1"});
    const auto result = resolve(server, "many.test", known);
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.addresses.size(), 64u);
    EXPECT_EQ(result.dropped, 1937u);
    const auto has = [&](const geo::Address& address) {
        return std::find(result.addresses.begin(), result.addresses.end(), address) != result.addresses.end();
    };
    EXPECT_TRUE(has(known[0])) << "in use, and still in the answer";
    EXPECT_FALSE(has(known[1])) << "not in the answer any more";
    EXPECT_TRUE(has(*geo::Address::parse("2001:db8::1"))) << "the smaller family is not crowded out";
}

TEST(BoundAddresses, KeepsWhatIsInUseAndRoomForBothFamilies) {
    const struct {
        const char* what;
        std::initializer_list<const char*> answer, known;
        std::size_t most;
        const char* kept;
        std::size_t dropped;
    } cases[] = {
        {"nothing", {}, {}, 4, "", 0},
        {"all fit", {"10.0.0.2", "10.0.0.1", "10.0.0.2"}, {}, 2, "10.0.0.1 10.0.0.2", 0},
        {"the answer's order decides", {"10.0.0.9", "10.0.0.1", "10.0.0.5"}, {}, 2, "10.0.0.1 10.0.0.9", 1},
        {"in use stays", {"10.0.0.9", "10.0.0.1", "10.0.0.5"}, {"10.0.0.5", "10.0.0.7"}, 2, "10.0.0.5 10.0.0.9", 1},
        {"half for each",
         {"10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1", "2001:db8::2", "2001:db8::3"},
         {},
         4,
         "10.0.0.1 10.0.0.2 2001:db8::1 2001:db8::2",
         2},
        {"an odd room",
         {"10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"},
         {},
         3,
         "10.0.0.1 10.0.0.2 2001:db8::1",
         1},
        {"what the other leaves",
         {"10.0.0.1", "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"},
         {},
         4,
         "10.0.0.1 2001:db8::1 2001:db8::2 2001:db8::3",
         1},
        {"in use does not crowd the other out",
         {"10.0.0.1", "10.0.0.2", "2001:db8::1"},
         {"10.0.0.1", "10.0.0.2"},
         2,
         "10.0.0.1 2001:db8::1",
         1},
        {"one only", {"2001:db8::1", "10.0.0.1"}, {}, 1, "10.0.0.1", 1},
        {"one only of IPv6", {"2001:db8::1", "2001:db8::2"}, {}, 1, "2001:db8::1", 1},
    };
    for (const auto& [what, answer, known, most, kept, dropped] : cases) {
        auto addresses = addresses_of(answer);
        EXPECT_EQ(bound_addresses(addresses, addresses_of(known), most), dropped) << what;
        EXPECT_EQ(text_of(addresses), kept) << what;
    }
}

TEST(Resolver, FailuresSayWhyAndGiveNoAddress) {
    DnsServer server;
    server.set("broken.test", false, {.code = 2});
    server.set("broken.test", true, {.code = 2});
    server.set("silent.test", false, {.silent = true});
    server.set("silent.test", true, {.silent = true});
    for (const std::string name : {"missing.test", "broken.test", "silent.test", "..", "a..test"}) {
        const auto result = resolve(server, name, addresses_of({"192.0.2.7"}), 50ms);
        EXPECT_TRUE(result.addresses.empty()) << name;
        EXPECT_NE(result.error, "") << name;
    }
}

TEST(Resolver, ATruncatedAnswerIsFetchedOverTcp) {
    DnsServer server;
    DnsServer::Answer many{.truncated_over_udp = true};
    for (int i = 1; i <= 60; ++i) many.addresses.push_back("192.0.2." + std::to_string(i));
    server.set("many.test", false, many);
    server.set("many.test", true, {});
    const auto result = resolve(server, "many.test");
    EXPECT_EQ(result.addresses.size(), 60u) << result.error;
}

// CVE-2021-23017, CVE-2018-20102, CVE-2018-20103: what a hostile answer may hold. None may crash, hang or give an
// address; the resolver works on afterwards.
TEST(Resolver, SurvivesRecordsThatLie) {
    const std::string tail{"\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\xc0\x00\x02\x01", 14};  // A IN 30 192.0.2.1
    const std::pair<const char*, std::string> records[] = {
        {"a name that points at itself", std::string{"\xc0\x1e", 2} + tail},
        {"names that point at each other", std::string{"\xc0\x20\xc0\x1e", 4} + tail},
        {"a pointer behind the end", std::string{"\xff\xff", 2} + tail},
        {"a label behind the end", std::string{"\x3f", 1} + "short"},
        {"data shorter than its length", std::string{"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\xc0\x00", 14}},
        {"data of another length", std::string{"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x02\xc0\x00", 14}},
        {"nothing at all", ""},
    };
    DnsServer server;
    loop::Loop loop;
    Resolver resolver{loop, settings_for(server, 50ms)};
    const auto body = [](DnsServer& dns, Resolver& under_test, const auto& all) -> loop::Task<> {
        for (const auto& [what, bytes] : all) {
            for (const bool v6 : {false, true}) dns.set("a.test", v6, {.raw_records = bytes});
            const auto result = co_await under_test.resolve("a.test", {});
            EXPECT_TRUE(result.addresses.empty()) << what;
            EXPECT_NE(result.error, "") << what;
        }
        dns.set("a.test", false, {.addresses = {"192.0.2.5"}});
        const auto result = co_await under_test.resolve("a.test", {});
        EXPECT_EQ(text_of(result.addresses), "192.0.2.5");
    };
    EXPECT_TRUE(drive(loop, body(server, resolver, records)));
}

TEST(Resolver, EndsWithQuestionsUnderWay) {
    DnsServer server;
    for (const bool v6 : {false, true}) server.set("a.test", v6, {.silent = true});
    loop::Loop loop;
    const auto body = [](loop::Loop& on, const DnsServer& dns) -> loop::Task<> {
        auto resolver = std::make_unique<Resolver>(on, settings_for(dns));
        Resolved result;
        const auto asked = resolve_into(*resolver, "a.test", {}, result);
        asked.start();
        {
            Resolved nobody_looks;
            const auto dropped = resolve_into(*resolver, "a.test", {}, nobody_looks);
            dropped.start();
        }
        const auto was_asked = [&dns] { return dns.questions() >= 2; };
        EXPECT_TRUE(co_await until(on, was_asked));
        EXPECT_FALSE(asked.done());
        resolver.reset();
        const auto has_ended = [&asked] { return asked.done(); };
        EXPECT_TRUE(co_await until(on, has_ended));
        EXPECT_TRUE(result.addresses.empty());
        EXPECT_NE(result.error, "");
    };
    EXPECT_TRUE(drive(loop, body(loop, server)));
}

TEST(Resolver, AsksNobodyForNamesInTheHostsFile) {
    DnsServer server;
    const auto result = resolve(server, "localhost");
    EXPECT_NE(text_of(result.addresses).find("127.0.0.1"), std::string::npos);
    EXPECT_EQ(server.questions(), 0);
}

}  // namespace
}  // namespace nearhop::control
