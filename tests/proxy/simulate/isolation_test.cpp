#include "tests/proxy/simulate/world.h"
#include "tests/rounds.h"

namespace nearhop::simulate {
namespace {

using namespace std::chrono_literals;
using test::regions;

const std::string guarded = "  isolation: {control: ['dns://10.0.0.2', 'tcp://10.0.1.2:443']}\n";

/// How many lines of the timeline hold this.
int count(const Outcome& outcome, std::string_view what) {
    int found = 0;
    for (const auto& each : outcome.timeline) found += each.what.find(what) != std::string::npos;
    return found;
}

std::string cut_off(const std::string& fault, const std::string& config = guarded) {
    return regions(config) +
           "duration: 3m\n"
           "traffic: [{countries: [DE, FR], rate: 60/s, writes: 10%, puts: 10%}, {countries: US, rate: 20/s}]\n"
           "events: [{at: 20s, origin: edge, fault: " +
           fault + "}, {at: 50s, origin: edge, fault: none}]\n";
}

TEST(SimulateIsolation, AnEdgeThatIsCutOffHoldsNothingAgainstItsOrigins) {
    for (const char* fault : {"blackhole", "unreachable"}) {
        for (int seed = 1; seed <= nearhop::test::rounds(20); ++seed) {
            SCOPED_TRACE(std::string{fault} + " seed " + std::to_string(seed));
            const std::string yaml = cut_off(fault) + "seed: " + std::to_string(seed) + "\n";
            const auto outcome =
                test::expect(yaml, {"errors <= 0 before t=19s", "errors <= 0 after t=52s", "double executions <= 0",
                                    "share of eu clients on eu-west-1 >= 100 after t=55s",
                                    "share of US clients on us-east-1 >= 100 after t=55s"});
            EXPECT_EQ(count(outcome, "edge=isolated"), 1);
            EXPECT_EQ(count(outcome, "edge=back"), 1);
            EXPECT_EQ(count(outcome, "failback"), 0);
            for (const auto& each : outcome.timeline) {
                if (each.what.starts_with("edge=back")) {
                    EXPECT_LT(each.when, 51500ms);
                } else if (each.what.starts_with("edge=isolated") || each.what.find("verdict=") != std::string::npos) {
                    EXPECT_LT(each.when, 23500ms) << each.what;
                }
            }
        }
    }
}

TEST(SimulateIsolation, WhatFellInTheFirstMomentsIsTakenBack) {
    // No way out fails at once: traffic ejects all origins long before a control target has been asked in vain.
    const auto outcome = test::run(cut_off("unreachable"));
    EXPECT_EQ(count(outcome, "ejected=true"), 3);
    EXPECT_EQ(count(outcome, "edge=isolated taken_back=us-east-1,eu-west-1,ap-southeast-1"), 1);
}

TEST(SimulateIsolation, WithoutTrafficProbesFindOut) {
    const auto outcome =
        test::run(regions(guarded) +
                  "duration: 3m\n"
                  "traffic: [{countries: DE, rate: 1/h}]\n"
                  "events: [{at: 20s, origin: edge, fault: blackhole}, {at: 50s, origin: edge, fault: none}]\n");
    EXPECT_EQ(count(outcome, "edge=isolated"), 1);
    EXPECT_EQ(count(outcome, "edge=back"), 1);
    EXPECT_EQ(count(outcome, "failback"), 0);
    for (const auto& each : outcome.timeline)
        EXPECT_TRUE(!each.what.starts_with("edge=isolated") || each.when < 30s) << "a probe interval and a timeout";
}

TEST(SimulateIsolation, OneAloneIsNotEnough) {
    struct Row {
        const char* events;
        const char* why;
    };
    const Row rows[] = {
        {"[{at: 20s, origin: control, fault: blackhole}]", "the targets alone"},
        {"[{at: 20s, origin: all, fault: blackhole}]", "the origins alone"},
        {"[{at: 20s, origin: edge, fault: refused}]", "refusals come over the network"},
        {"[{at: 20s, origin: [eu-west-1, us-east-1, control], fault: blackhole}]", "one origin answers"},
    };
    for (const auto& row : rows) {
        const auto outcome = test::run(
            regions(guarded) + "duration: 1m\ntraffic: [{countries: DE, rate: 20/s}]\nevents: " + row.events + "\n");
        EXPECT_EQ(count(outcome, "edge="), 0) << row.why;
    }
    const auto quiet = regions(guarded) + "duration: 1m\ntraffic: [{countries: DE, rate: 20/s}]\n";
    const auto with = test::run(quiet + std::string{"events: "} + rows[0].events + "\n"), without = test::run(quiet);
    ASSERT_EQ(with.requests.size(), without.requests.size());
    EXPECT_EQ(count(with, "origin="), 0);
}

TEST(SimulateIsolation, AnOriginThatDiedBeforeStaysOutAndDoesNotReturnByIt) {
    const auto outcome = test::run(regions(guarded) +
                                   "duration: 5m\n"
                                   "traffic: [{countries: DE, rate: 20/s}]\n"
                                   "events:\n"
                                   "  - {at: 10s, origin: eu-west-1, fault: refused}\n"
                                   "  - {at: 30s, origin: edge, fault: blackhole}\n"
                                   "  - {at: 60s, origin: edge, fault: none}\n");
    EXPECT_EQ(count(outcome, "edge=back"), 1);
    EXPECT_EQ(count(outcome, "failback=held"), 1) << "the one that had died, and no other";
    EXPECT_EQ(count(outcome, "origin=eu-west-1 failback=held"), 1);
}

TEST(SimulateIsolation, WithoutTargetsThereIsNothingToCut) {
    const auto read = read_scenario(cut_off("blackhole", ""), "s.yaml");
    EXPECT_FALSE(read.scenario);
    EXPECT_NE(test::lines(read).find("the configuration has no isolation.control"), std::string::npos);
}

}  // namespace
}  // namespace nearhop::simulate
