#include "proxy/shared/capacity.h"

#include "proxy/exchange/least_rate.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace nearhop::shared {
namespace {

using namespace std::chrono_literals;
using What = AddressCounts::What;

geo::Address at(const std::string& text) { return *geo::Address::parse(text); }

TEST(AddressHash, TakesAnIpv6NetworkForOneClient) {
    const AddressHash hash;
    EXPECT_EQ(hash(at("2001:db8:1:2::1")), hash(at("2001:db8:1:2:ffff:ffff:ffff:ffff")));
    EXPECT_NE(hash(at("2001:db8:1:2::1")), hash(at("2001:db8:1:3::1")));
    EXPECT_NE(hash(at("192.0.2.1")), hash(at("192.0.2.2")));
    EXPECT_EQ(hash(at("::ffff:192.0.2.1")), hash(at("192.0.2.1"))) << "one address in two writings";
    EXPECT_NE(hash(at("192.0.2.1"), 1), hash(at("192.0.2.1"), 2)) << "sites do not share buckets";
}

TEST(AddressHash, IsAnotherOneInEachProcess) {
    EXPECT_NE(AddressHash{}(at("192.0.2.1")), AddressHash{}(at("192.0.2.1")));
}

TEST(AddressCounts, CountWhatIsHeldAndForgetWhatIsNot) {
    AddressCounts counts{64};
    const AddressHash hash;
    const auto key = hash(at("192.0.2.1"));
    {
        const auto first = counts.hold(key, What::session);
        const auto second = counts.hold(key, What::session);
        const auto request = counts.hold(key, What::request);
        EXPECT_EQ(counts.count(key, What::session), 2U);
        EXPECT_EQ(counts.count(key, What::request), 1U);
    }
    EXPECT_EQ(counts.count(key, What::session), 0U);
    EXPECT_EQ(counts.count(key, What::request), 0U);
}

TEST(AddressCounts, AFullTableCountsNobodyNewAndRecovers) {
    AddressCounts counts{64};
    const AddressHash hash;
    std::vector<AddressCounts::Held> held;
    held.reserve(1000);
    for (std::uint32_t i = 0; i < 1000; ++i) held.push_back(counts.hold(hash(geo::Address::v4(i)), What::session));
    unsigned counted = 0;
    for (std::uint32_t i = 0; i < 1000; ++i) counted += counts.count(hash(geo::Address::v4(i)), What::session);
    EXPECT_EQ(counted, 64U);
    held.clear();
    const auto again = counts.hold(hash(geo::Address::v4(7)), What::session);
    EXPECT_EQ(counts.count(hash(geo::Address::v4(7)), What::session), 1U);
}

TEST(AddressCounts, KnowWhoHoldsMoreThanItsShare) {
    AddressCounts counts{1024};
    const AddressHash hash;
    std::vector<AddressCounts::Held> held;
    held.reserve(30);
    for (std::uint32_t i = 0; i < 10; ++i) held.push_back(counts.hold(hash(geo::Address::v4(i)), What::session));
    const auto greedy = hash(at("192.0.2.1"));
    EXPECT_FALSE(counts.is_busy(greedy, What::session, 8));
    for (int i = 0; i < 20; ++i) held.push_back(counts.hold(greedy, What::session));
    EXPECT_TRUE(counts.is_busy(greedy, What::session, 8));
    EXPECT_FALSE(counts.is_busy(greedy, What::request, 0));
    EXPECT_FALSE(counts.is_busy(hash(geo::Address::v4(3)), What::session, 2));
    EXPECT_FALSE(counts.is_busy(hash(at("192.0.2.9")), What::session, 0)) << "a newcomer";
}

TEST(AddressCounts, StayRightBetweenThreads) {
    AddressCounts counts{64};
    const AddressHash hash;
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (std::uint32_t round = 0; round < 20'000; ++round) {
                const auto first = counts.hold(hash(geo::Address::v4(round % 50)), What::session);
                const auto second = counts.hold(hash(geo::Address::v4(round % 7)), What::request);
            }
        });
    for (auto& thread : threads) thread.join();
    for (std::uint32_t i = 0; i < 50; ++i) {
        EXPECT_EQ(counts.count(hash(geo::Address::v4(i)), What::session), 0U);
        EXPECT_EQ(counts.count(hash(geo::Address::v4(i)), What::request), 0U);
    }
    EXPECT_FALSE(counts.is_busy(hash(geo::Address::v4(1)), What::session, 0));
}

/// A process that holds at most 100 sessions and 100 requests.
struct Edge {
    Capacity capacity;
    std::vector<AddressCounts::Held> held;

    explicit Edge(Capacity::Most most = {.sessions = 100, .requests = 100}) {
        capacity.prepare(1024);
        capacity.set(most);
    }
    account::Refusal open(const geo::Address& peer, bool trusted = false, bool tls = true) {
        const account::Refusal why = capacity.begin_session(peer, trusted, tls, 1000s);
        if (why == account::Refusal::none) held.push_back(capacity.hold(peer, What::session));
        return why;
    }
    unsigned open_many(const geo::Address& peer, unsigned count) {
        unsigned opened = 0;
        for (unsigned i = 0; i < count; ++i) opened += open(peer) == account::Refusal::none ? 1 : 0;
        return opened;
    }
};

TEST(Capacity, TheBusiestAddressIsRefusedFirstAndOthersFindRoom) {
    Edge edge;
    EXPECT_EQ(edge.open_many(at("192.0.2.1"), 200), 80U);
    EXPECT_EQ(edge.open(at("192.0.2.1")), account::Refusal::busy_address);
    EXPECT_EQ(edge.open(at("192.0.2.2")), account::Refusal::none);
    EXPECT_EQ(edge.open(at("192.0.2.1"), true), account::Refusal::none) << "a trusted peer speaks for many";
    for (std::uint32_t i = 0; i < 18; ++i) EXPECT_EQ(edge.open(geo::Address::v4(i)), account::Refusal::none);
    EXPECT_EQ(edge.open(geo::Address::v4(99)), account::Refusal::sessions);
    EXPECT_TRUE(edge.capacity.is_full());
    edge.capacity.end_session();
    EXPECT_FALSE(edge.capacity.is_full());
    EXPECT_EQ(edge.open(geo::Address::v4(99)), account::Refusal::none) << "it ends by itself";
}

TEST(Capacity, AnAddressHasALimitOfItsOwn) {
    Edge edge{{.sessions = 100, .sessions_per_address = 3}};
    EXPECT_EQ(edge.open_many(at("2001:db8::1"), 5), 3U);
    EXPECT_EQ(edge.open(at("2001:db8::ffff")), account::Refusal::address) << "the same /64";
    EXPECT_EQ(edge.open(at("2001:db8:0:1::1")), account::Refusal::none);
    EXPECT_EQ(edge.open(at("2001:db8::1"), true), account::Refusal::none);
    EXPECT_EQ(edge.capacity.judge_address(at("2001:db8::1"), false), account::Refusal::address);
    edge.held.clear();
    EXPECT_EQ(edge.open(at("2001:db8::1")), account::Refusal::none);
}

TEST(Capacity, HandshakesHaveALimitInProgressAndARate) {
    Edge edge{{.sessions = 100, .handshakes = 20}};
    EXPECT_EQ(edge.open_many(at("192.0.2.1"), 50), 16U) << "and the busiest address leaves some to others";
    EXPECT_EQ(edge.open_many(at("192.0.2.2"), 50), 4U);
    EXPECT_EQ(edge.open(at("192.0.2.3")), account::Refusal::handshakes);
    EXPECT_EQ(edge.open(at("192.0.2.3"), false, false), account::Refusal::none) << "without TLS there is none";
    edge.capacity.end_handshake();
    EXPECT_EQ(edge.open(at("192.0.2.3")), account::Refusal::none);

    Edge paced{{.sessions = 100, .handshakes_per_second = 5}};
    EXPECT_EQ(paced.open_many(at("192.0.2.1"), 20), 5U);
    EXPECT_EQ(paced.open(at("192.0.2.2")), account::Refusal::handshake_rate);
    EXPECT_EQ(paced.capacity.begin_session(at("192.0.2.2"), false, true, 1001s), account::Refusal::none);
}

TEST(Capacity, ARateOfHandshakesHoldsAtOnceWhenItIsChanged) {
    Edge edge{{.sessions = 1000, .handshakes_per_second = 100}};
    EXPECT_EQ(edge.open_many(at("192.0.2.1"), 200), 100U);
    edge.capacity.set({.sessions = 1000, .handshakes_per_second = 2});
    EXPECT_EQ(edge.open(at("192.0.2.2")), account::Refusal::handshake_rate) << "nobody gets a second burst";
    EXPECT_EQ(edge.capacity.begin_session(at("192.0.2.2"), false, true, 1001s), account::Refusal::none);
    edge.capacity.set({.sessions = 1000, .handshakes_per_second = 0});
    EXPECT_EQ(edge.capacity.begin_session(at("192.0.2.2"), false, true, 1001s), account::Refusal::none);
    edge.capacity.set({.sessions = 1000, .handshakes_per_second = 100});
    EXPECT_EQ(edge.capacity.begin_session(at("192.0.2.2"), false, true, 1002s), account::Refusal::none);
}

std::vector<conf::Site> site_with(conf::Rate address, conf::Rate site = {}) {
    conf::Site made;
    made.name = "main";
    made.rate_limit = {address, address.count, site, site.count};
    return {made};
}

TEST(Capacity, RatesFollowTheLimitInForceAtOnce) {
    using Rate = conf::Rate;
    struct Row {
        const char* what;
        std::vector<Rate> limits;  ///< one after the other; of the first one all is used up
        unsigned allowed;          ///< under the last one, a second after it was set
    };
    const Row rows[] = {
        {"kept: a reload is no way round the limit", {{2, 3600s}, {2, 3600s}}, 0},
        {"raised", {{2, 3600s}, {100, 1s}}, 100},
        {"raised a little", {{2, 3600s}, {3, 3600s}}, 1},
        {"lowered", {{3, 3600s}, {2, 3600s}}, 0},
        {"off and on: as when it was never on", {{2, 3600s}, {}, {2, 3600s}}, 2},
        {"off, and on as another one", {{2, 3600s}, {}, {100, 1s}}, 100},
        {"down and up again", {{100, 1s}, {1, 3600s}, {100, 1s}}, 100},
    };
    for (const auto& row : rows) {
        for (const bool whole_site : {false, true}) {
            Capacity capacity;
            capacity.prepare(64);
            const auto ask = [&](std::chrono::nanoseconds now) {
                const auto rates = capacity.rates_of("main");
                if (!(whole_site ? rates.site : rates.address).limits()) return true;
                return (whole_site ? rates.bucket->take(rates.site, now)
                                   : capacity.take(at("192.0.2.1"), rates.scope, rates.address, now))
                    .allowed;
            };
            std::chrono::nanoseconds now = 1000s;
            for (std::size_t i = 0; i < row.limits.size(); ++i) {
                capacity.set_rates(whole_site ? site_with({}, row.limits[i]) : site_with(row.limits[i]), now);
                for (int used = 0; i == 0 && used < 1000; ++used) ask(now);
                now += 1s;
            }
            unsigned allowed = 0;
            while (ask(now) && allowed < 1000) ++allowed;
            EXPECT_EQ(allowed, row.allowed) << row.what << (whole_site ? ", site" : ", address");
        }
    }
}

TEST(Capacity, ASiteThatIsGoneAndBackBeginsWithFullBuckets) {
    Capacity capacity;
    capacity.prepare(64);
    const auto take = [&] {
        const auto rates = capacity.rates_of("main");
        return capacity.take(at("192.0.2.1"), rates.scope, rates.address, 1000s).allowed;
    };
    capacity.set_rates(site_with({1, 3600s}), 1000s);
    EXPECT_TRUE(take());
    EXPECT_FALSE(take());
    capacity.set_rates({}, 1000s);
    EXPECT_FALSE(capacity.rates_of("main").address.limits());
    capacity.set_rates(site_with({1, 3600s}), 1000s);
    EXPECT_TRUE(take());
}

TEST(Capacity, ShedsInItsFixedOrder) {
    for (const bool memory : {true, false}) {
        Edge edge{{.sessions = 1000, .requests = 100, .descriptors = 10'000, .memory = 1000}};
        auto& capacity = edge.capacity;
        std::uint64_t carried = 0;
        const auto load = [&](std::uint64_t percent) {
            if (memory) return capacity.set_memory(percent * 10);
            capacity.add_requests(static_cast<std::int64_t>(percent) - static_cast<std::int64_t>(carried));
            carried = percent;
        };
        const auto greedy = at("192.0.2.1");
        const auto modest = at("192.0.2.2");
        EXPECT_EQ(edge.open_many(greedy, 20), 20U);
        EXPECT_EQ(edge.open(modest), account::Refusal::none);
        std::vector<AddressCounts::Held> requests;
        requests.reserve(11);
        for (int i = 0; i < 10; ++i) requests.push_back(capacity.hold(greedy, What::request));
        requests.push_back(capacity.hold(modest, What::request));

        struct Row {
            unsigned percent;
            bool counted;
            account::Refusal greedy_session, modest_session;
            bool greedy_request, modest_request, full;
        };
        for (const Row& row :
             {Row{79, false, account::Refusal::none, account::Refusal::none, true, true, false},
              Row{80, true, account::Refusal::busy_address, account::Refusal::none, true, true, false},
              Row{90, true, account::Refusal::overload, account::Refusal::overload, true, true, true},
              Row{95, true, account::Refusal::overload, account::Refusal::overload, false, true, true},
              Row{100, true, account::Refusal::overload, account::Refusal::overload, false, false, true},
              Row{10, false, account::Refusal::none, account::Refusal::none, true, true, false}}) {
            SCOPED_TRACE(row.percent);
            load(row.percent);
            EXPECT_EQ(capacity.is_full(), row.full);
            EXPECT_EQ(capacity.counts_requests(), row.counted);
            EXPECT_EQ(capacity.begin_session(greedy, false, false, 0s), row.greedy_session);
            EXPECT_EQ(capacity.begin_session(modest, false, false, 0s), row.modest_session);
            capacity.add_requests(1);  // the one that is judged
            EXPECT_EQ(capacity.judge_request(greedy, false) == Capacity::Verdict::carry, row.greedy_request);
            EXPECT_EQ(capacity.judge_request(modest, false) == Capacity::Verdict::carry, row.modest_request);
            capacity.add_requests(-1);
        }
    }
}

TEST(Capacity, DescriptorsAreClientsAndOriginsTogether) {
    Edge edge{{.sessions = 100, .descriptors = 100}};
    EXPECT_EQ(edge.open_many(at("192.0.2.1"), 40), 40U);
    EXPECT_FALSE(edge.capacity.is_tight());
    edge.capacity.add_origin_connections(40);
    EXPECT_TRUE(edge.capacity.is_tight());
    EXPECT_FALSE(edge.capacity.is_out_of_descriptors());
    edge.capacity.add_origin_connections(20);
    EXPECT_TRUE(edge.capacity.is_out_of_descriptors());
    EXPECT_EQ(edge.open(at("192.0.2.2")), account::Refusal::overload);
}

TEST(Capacity, WithoutLimitsRefusesNobody) {
    Edge edge{{}};
    EXPECT_EQ(edge.open_many(at("192.0.2.1"), 10'000), 10'000U);
    EXPECT_EQ(edge.capacity.judge_request(at("192.0.2.1"), false), Capacity::Verdict::carry);
}

TEST(exchange::LeastRate, AStallAndADripAreTooSlowAndASteadyTransferIsNot) {
    const auto judge = [](std::uint64_t bytes_per_step, int silent_from) {
        exchange::LeastRate rate;
        loop::TimePoint now{};
        std::uint64_t moved = 0;
        EXPECT_FALSE(rate.is_too_slow(now, moved, 10s, 100));
        for (int step = 1; step <= 100; ++step) {
            now += 1s;
            if (step < silent_from) moved += bytes_per_step;
            if (rate.is_too_slow(now, moved, 10s, 100)) return step;
        }
        return 0;
    };
    EXPECT_EQ(judge(100, 1000), 0);
    EXPECT_EQ(judge(99, 1000), 10);
    EXPECT_EQ(judge(1, 1000), 10);
    EXPECT_EQ(judge(0, 0), 10);
    EXPECT_EQ(judge(5000, 31), 40) << "ten seconds after its last byte";
}

TEST(exchange::LeastRate, WithoutARateAnyByteCounts) {
    exchange::LeastRate rate;
    EXPECT_FALSE(rate.is_too_slow({}, 0, 10s, 0));
    for (std::uint64_t i = 1; i < 100; ++i) EXPECT_FALSE(rate.is_too_slow(loop::TimePoint{} + 9s * i, i, 10s, 0)) << i;
}

}  // namespace
}  // namespace nearhop::shared
