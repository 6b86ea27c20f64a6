#include "proxy/simulate/report.h"
#include "tests/proxy/simulate/world.h"

#include <algorithm>
#include <map>
#include <set>

namespace nearhop::simulate {
namespace {

using namespace std::chrono_literals;
using test::expect;
using test::regions;

std::string storm(unsigned seed) {
    return regions() + "seed: " + std::to_string(seed) +
           "\nduration: 2m\n"
           "traffic: [{countries: [DE, FR], rate: 50/s, writes: 10%, puts: 10%}, {countries: US, rate: 20/s}]\n"
           "events:\n"
           "  - {at: 10s, origin: eu-west-1, fault: refused, every: 5s}\n"
           "  - {at: 40s, origin: us-east-1, fault: errors, share: 50%}\n"
           "  - {at: 60s, origin: all, fault: none}\n";
}

std::string both_reports(const Scenario& read) {
    const auto outcome = simulate(read);
    const auto report = report_of(read, outcome);
    return report_text(report) + report_json(report);
}

TEST(Simulate, TheSameSeedHasTheSameOutcomeToTheByte) {
    const std::string first = both_reports(test::scenario(storm(7)));
    EXPECT_EQ(first, both_reports(test::scenario(storm(7))));
    std::string other = both_reports(test::scenario(storm(8)));
    EXPECT_NE(first, other);
}

TEST(Simulate, ARegionThatDiesIsLeftAtOnceAndNobodySeesAnError) {
    expect(regions() +
               "traffic: [{countries: [DE, FR], rate: 100/s, puts: 20%}, {countries: US, rate: 50/s}]\n"
               "events: [{at: 20s, origin: eu-west-1, fault: refused}]\n",
           {"errors <= 0", "share of DE clients on eu-west-1 >= 100 before t=19s",
            "share of eu clients on eu-west-1 <= 0 after t=21s", "slowest request <= 1.2s",
            "share of US clients on us-east-1 >= 100", "switches of eu clients <= 1"});
}

TEST(Simulate, ResidencyIsKeptWhateverFails) {
    expect(
        regions("    eu-central-1: https://eu2.example.com\n"
                "  sites:\n"
                "    main:\n"
                "      policy: country\n"
                "      countries: {eu: {origins: [eu-west-1, eu-central-1], only: true}}\n") +
            "traffic: [{countries: eu, rate: 60/s}]\n"
            "events: [{at: 10s, origin: eu-west-1, fault: refused}, {at: 30s, origin: eu-central-1, fault: refused}]\n",
        {"share of eu clients on us-east-1 <= 0 after t=0s", "share of eu clients on ap-southeast-1 <= 0",
         "share of eu clients on eu-central-1 >= 99 from 11s to 30s", "errors <= 0 before t=29s",
         "errors >= 1 after t=30s"});
}

/// Whatever the retry table lets through: a POST is never sent twice, and idempotent requests are hidden where it can.
TEST(Simulate, NoFaultExecutesAPostTwice) {
    for (const char* fault : {"refused", "unreachable", "blackhole", "reset", "hang", "errors", "slow, delay: 12s"}) {
        SCOPED_TRACE(fault);
        expect(regions("  failover: {budget_minimum: 1000}\n") +
                   "traffic: [{countries: [DE, FR], rate: 40/s, writes: 30%, puts: 20%}]\n"
                   "events: [{at: 10s, origin: eu-west-1, fault: " +
                   std::string{fault} + "}, {at: 40s, origin: eu-west-1, fault: none}]\n",
               {"double executions <= 0", "errors of GET <= 0", "errors of PUT <= 0", "requests of POST >= 100"});
    }
}

TEST(Simulate, FlappingIsNotFollowed) {
    for (const char* every : {"2s", "5s", "20s"}) {
        for (const unsigned seed : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u}) {  // a probe meets another phase of it each time
            SCOPED_TRACE(every + std::string{", seed "} + std::to_string(seed));
            const std::string flapping = regions("  failover: {budget_minimum: 1000}\n") +
                                         "duration: 5m\nseed: " + std::to_string(seed) +
                                         "\n"
                                         "traffic: [{countries: [DE, FR], rate: 40/s, puts: 20%}]\n"
                                         "events: [{at: 10s, origin: eu-west-1, fault: refused, every: " +
                                         std::string{every} + "}]\n";
            expect(flapping, {"errors <= 0", "slowest request <= 1.2s", "switches of eu clients <= 2"});
        }
    }
}

/// An hour in which a region dies and comes back all the time. What a client feels of it is how often it changes.
TEST(Simulate, AnHourOfFlappingMovesAClientASmallNumberOfTimes) {
    struct Row {
        const char* every;
        const char* switches;
    };
    for (const auto& [every, switches] : {Row{"2s", "1"}, Row{"5s", "1"}, Row{"20s", "1"}, Row{"40s", "1"},
                                          Row{"1m", "1"}, Row{"2m", "1"}, Row{"5m", "12"}, Row{"10m", "6"}}) {
        SCOPED_TRACE(every);
        expect(regions("  failover: {budget_minimum: 1000}\n") +
                   "duration: 1h\n"
                   "traffic: [{countries: [DE, FR], rate: 10/s, puts: 20%}]\n"
                   "events: [{at: 10s, origin: eu-west-1, fault: refused, every: " +
                   every + "}]\n",
               {"errors <= 0", "switches of eu clients <= " + std::string{switches}});
    }
}

/// With the defaults, whatever the fault and however its moment lies to the probes.
TEST(Simulate, AFaultOfSixSecondsIsOverForEverybodyWithinHalfAMinuteOfItsEnd) {
    for (const std::string fault : {"refused", "unreachable", "blackhole", "reset", "hang", "errors",
                                    "errors, share: 60%", "errors, hits: requests", "slow, delay: 12s"}) {
        for (const unsigned seed : {1u, 2u, 3u, 4u, 5u}) {
            SCOPED_TRACE(fault + ", seed " + std::to_string(seed));
            expect(regions("  failover: {budget_minimum: 1000}\n") + "seed: " + std::to_string(seed) +
                       "\nduration: 90s\n"
                       "traffic: [{countries: [DE, FR], rate: 60/s, writes: 20%, puts: 20%}]\n"
                       "events: [{at: 20s, origin: eu-west-1, fault: " +
                       fault + "}, {at: 26s, origin: eu-west-1, fault: none}]\n",
                   {"share of eu clients on eu-west-1 >= 100 from 56s to 90s", "switches of eu clients <= 4"});
        }
    }
}

/// Without hold and ramp it is the ejection alone that keeps it out, and a row of faults must not lengthen it.
TEST(Simulate, ARowOfSixSecondFaultsIsOverTenSecondsAfterEachWherePassingProbesAreAllThatIsWaitedFor) {
    for (const std::string fault : {"refused", "reset", "errors", "errors, hits: requests"}) {
        SCOPED_TRACE(fault);
        std::string events;
        std::vector<std::string> sentences;
        for (int at = 20; at < 270; at += 30) {
            events += "  - {at: " + std::to_string(at) + "s, origin: eu-west-1, fault: " + fault +
                      "}\n  - {at: " + std::to_string(at + 6) + "s, origin: eu-west-1, fault: none}\n";
            sentences.push_back("share of eu clients on eu-west-1 >= 100 from " + std::to_string(at + 16) + "s to " +
                                std::to_string(at + 29) + "s");
        }
        expect(regions("  failover: {budget_minimum: 1000}\n"
                       "  failback: {hold: 0s, ramp: 0s}\n") +
                   "duration: 5m\ninterval: 1s\n"
                   "traffic: [{countries: [DE, FR], rate: 60/s, puts: 20%}]\n"
                   "events:\n" +
                   events,
               sentences);
    }
}

TEST(Simulate, AnHourOfVeryNoisyRoundTripsMovesClientsByLatencyTwiceAtMost) {
    expect(regions("  sites: {main: {policy: latency}}\n") +
               "duration: 1h\nworkers: 1\n"
               "origins: {us-east-1: {rtt: 60ms, noise: 40%}, eu-west-1: {rtt: 62ms, noise: 40%}, "
               "ap-southeast-1: {rtt: 200ms, noise: 40%}}\n"
               "traffic: [{countries: DE, rate: 5/s, clients: 20}]\n",
           {"errors <= 0", "share of DE clients on ap-southeast-1 <= 0", "switches of DE clients <= 2"});
}

std::string leaders(const Outcome& outcome) {
    std::string changes;
    for (const auto& each : outcome.timeline)
        if (each.what.find(" leader=") != std::string::npos) changes += each.what + '\n';
    return changes;
}

TEST(Simulate, TheLeaderByLatencyChangesOncePerShiftAndNeverByNoise) {
    const std::string start = regions("  sites: {main: {policy: latency}}\n  health: {interval: 5s}\n") +
                              "duration: 1h\n"
                              "origins: {us-east-1: {rtt: 80ms, noise: 10%}, eu-west-1: {rtt: 70ms, noise: 10%}, "
                              "ap-southeast-1: {rtt: 200ms, noise: 10%}}\n"
                              "traffic: [{countries: DE, rate: 1/s}]\n";
    EXPECT_EQ(leaders(test::run(start)), "") << "within the band";
    const auto shifted = test::run(start +
                                   "events:\n"
                                   "  - {at: 20m, origin: us-east-1, fault: latency, delay: 200ms}\n"
                                   "  - {at: 40m, origin: us-east-1, fault: none}\n");
    EXPECT_EQ(leaders(shifted), "site=main leader=eu-west-1 was=us-east-1\n");
}

std::string returning() {
    return regions() +
           "duration: 8m\ninterval: 10s\n"
           "traffic: [{countries: [DE, FR], rate: 60/s, clients: 400}]\n"
           "events: [{at: 20s, origin: eu-west-1, fault: refused}, {at: 60s, origin: eu-west-1, fault: none}]\n";
}

TEST(Simulate, ARegionThatReturnsIsHeldThenRampedAndEachClientMovesOnce) {
    expect(returning(), {"errors <= 0", "share of eu clients on eu-west-1 <= 0 from 21s to 100s",
                         "share of eu clients on eu-west-1 >= 100 after t=150s", "switches of eu clients <= 2"});
    // Of the clients that are back at some moment, none is sent away again.
    const auto outcome = test::run(returning());
    std::map<std::uint32_t, microseconds> back;
    for (const auto& request : outcome.requests) {
        if (request.began < 60s) continue;
        if (request.served == 1) back.emplace(request.client, request.began);
        EXPECT_TRUE(request.served == 1 || !back.contains(request.client)) << request.client;
    }
    std::set<std::int64_t> seconds;
    for (const auto& [client, when] : back) seconds.insert(when / 1s);
    EXPECT_GE(seconds.size(), 18u) << "they come in a trickle";
}

TEST(Simulate, ARegionThatReturnsMeetsNoStampede) {
    const auto outcome = test::run(returning());
    // 60 requests a second in all; each second of the ramp may add some twentieth of them.
    const auto& attempts = outcome.attempts[1];
    const auto in = [&](std::size_t from, std::size_t to) {
        return *std::max_element(attempts.begin() + static_cast<long>(from), attempts.begin() + static_cast<long>(to));
    };
    EXPECT_EQ(in(70, 100), 0u);
    EXPECT_LE(in(100, 112), 40u);
}

TEST(Simulate, WhatOneAddressDoesIsHiddenByTheOther) {
    expect(regions() +
               "origins: {eu-west-1: {addresses: 2}}\n"
               "traffic: [{countries: [DE, FR], rate: 60/s, puts: 10%}]\n"
               "events: [{at: 10s, origin: eu-west-1, address: 1, fault: refused}]\n",
           {"errors <= 0", "share of eu clients on eu-west-1 >= 90", "slowest request <= 500ms"});
}

TEST(Simulate, AHealthEndpointThatLiesIsOverruledByTraffic) {
    expect(regions() +
               "traffic: [{countries: [DE, FR], rate: 60/s}]\n"
               "events: [{at: 10s, origin: eu-west-1, fault: errors, hits: requests}]\n",
           {"errors <= 0", "share of eu clients on eu-west-1 <= 0 from 11s to 19s"});
}

/// A tenth of the answers comes 2 s late. A hedge is what keeps them from the clients.
TEST(Simulate, AHedgeHidesLateAnswers) {
    const auto limping = [](const std::string& sites) {
        return regions("  sites: {main: {" + sites + "}}\n") +
               "traffic: [{countries: [DE, FR], rate: 60/s, writes: 10%}]\n"
               "events: [{at: 10s, origin: eu-west-1, fault: slow, share: 10%, delay: 2s, hits: requests}]\n";
    };
    expect(limping("policy: nearest"), {"slowest request of GET >= 2s", "hedged requests <= 0"});
    for (const char* hedge : {"200ms", "p95"}) {
        SCOPED_TRACE(hedge);
        expect(limping("hedge: " + std::string{hedge}),
               {"requests slower than 1s of GET <= 10", "hedged requests of GET >= 50", "hedged requests of POST <= 0",
                "slowest request of POST >= 2s", "double executions <= 0", "errors <= 0"});
    }
}

TEST(Simulate, AHedgeIsTheMoveWhereTheFirstOriginFails) {
    expect(regions("  sites: {main: {hedge: 60ms}}\n") +
               "origins: {eu-west-1: {answer: 100ms}}\n"
               "traffic: [{countries: [DE, FR], rate: 60/s}]\n"
               "events: [{at: 20s, origin: eu-west-1, fault: refused}]\n",
           {"errors <= 0", "hedged requests >= 100", "slowest request <= 1s"});
}

/// 100 requests a second of 200 ms each are twenty at once.
TEST(Simulate, WhatIsAboveTheCapacityOfAnOriginGoesElsewhere) {
    const auto busy = [](const std::string& origin, const std::string& rest = {}) {
        return "config:\n  origins:\n    eu-west-1: {url: https://eu.example.com" + origin +
               "}\n    us-east-1: {url: https://us.example.com" + rest +
               "}\n"
               "origins: {eu-west-1: {answer: 200ms}, us-east-1: {answer: 200ms}}\n"
               "traffic: [{countries: [DE, FR], rate: 100/s}]\n";
    };
    expect(busy(""), {"share of eu clients on eu-west-1 >= 100"});
    expect(busy(", capacity: 10"),
           {"errors <= 0", "share of eu clients on eu-west-1 <= 60", "share of eu clients on eu-west-1 >= 20"});
    // Where all are full, a request waits for at most a second, and is refused then.
    expect(busy(", capacity: 5", ", capacity: 5"),
           {"errors >= 1000", "errors <= 5000", "slowest request >= 1s", "slowest request <= 1.6s"});
}

/// Each POST of the fault may have been executed. With a key its client can ask again without harm.
TEST(Simulate, AKeyKeepsAPostThatIsRepeatedAtTheOriginThatMayHaveIt) {
    const auto resets = [](const std::string& traffic) {
        return regions() + "traffic: [{countries: [DE, FR], rate: 40/s, writes: 50%, repeats: 3, repeat_after: 4s" +
               traffic +
               "}]\n"
               "events: [{at: 10s, origin: eu-west-1, fault: reset}, {at: 16s, origin: eu-west-1, fault: none}]\n";
    };
    expect(resets(""), {"double executions >= 1"});
    expect(resets(", keys: 100%"), {"double executions <= 0", "errors of POST >= 3"});
}

}  // namespace
}  // namespace nearhop::simulate
