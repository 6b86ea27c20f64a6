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
        SCOPED_TRACE(every);
        const std::string flapping = regions("  failover: {budget_minimum: 1000}\n") +
                                     "duration: 5m\n"
                                     "traffic: [{countries: [DE, FR], rate: 40/s, puts: 20%}]\n"
                                     "events: [{at: 10s, origin: eu-west-1, fault: refused, every: " +
                                     std::string{every} + "}]\n";
        expect(flapping, {"errors <= 0", "slowest request <= 1.2s", "switches of eu clients <= 3"});
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
    expect(returning(), {"errors <= 0", "share of eu clients on eu-west-1 <= 0 from 21s to 180s",
                         "share of eu clients on eu-west-1 >= 100 after t=270s", "switches of eu clients <= 2"});
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
    EXPECT_GE(seconds.size(), 40u) << "they come in a trickle";
}

TEST(Simulate, ARegionThatReturnsMeetsNoStampede) {
    const auto outcome = test::run(returning());
    // 60 requests a second in all; each second of the ramp may add a sixtieth of them.
    const auto& attempts = outcome.attempts[1];
    const auto in = [&](std::size_t from, std::size_t to) {
        return *std::max_element(attempts.begin() + static_cast<long>(from), attempts.begin() + static_cast<long>(to));
    };
    EXPECT_EQ(in(70, 180), 0u);
    EXPECT_LE(in(180, 200), 40u);
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

}  // namespace
}  // namespace nearhop::simulate
