#include "proxy/steering/explain.h"
#include "tests/proxy/steering/world.h"

#include <functional>

namespace nearhop::steering::test {
namespace {

/// "eu-west-1: down", or "eu-west-1" where the first choice is the first candidate.
std::string first(World& world, const geo::Place& place, std::string_view method = "GET", std::string_view path = "/") {
    const Decision& decision = world.ask(place, method, path);
    std::string text = world.table->origins[decision.first.id].name;
    if (decision.first.passed_over) text += ": " + std::string{name(*decision.first.passed_over)};
    return text;
}

struct PassedOver {
    const char* reason;
    std::function<void(World&)> change;
};

const std::string policies[] = {
    "    policy: nearest\n",
    "    policy: country\n    countries: {DE: eu-west-1}\n",
    "    policy: failover\n    origins: [eu-west-1, us-east-1, ap-southeast-1]\n",
    "    policy: latency\n",
};

TEST(FirstChoice, IsToldWithTheReasonForPassingItOverUnderEveryPolicy) {
    using health::Verdict;
    const PassedOver rows[] = {
        {"", [](World&) {}},
        {"down", [](World& world) { world.set("eu-west-1", Verdict::down); }},
        {"ejected", [](World& world) { world.state("eu-west-1").ejected = true; }},
        {"degraded", [](World& world) { world.set("eu-west-1", Verdict::degraded); }},
        {"unknown", [](World& world) { world.set("eu-west-1", Verdict::unknown); }},
        {"returning", [](World& world) { world.health.origins[world.id("eu-west-1")].share = 0; }},
        {"busy", [](World& world) { world.busy("eu-west-1"); }},
        {"full", [](World& world) { world.full("eu-west-1"); }},
        {"local_skip", [](World& world) { world.skip("eu-west-1"); }},
        {"stalled", [](World& world) { world.stall("eu-west-1"); }},
        {"on_trial",
         [](World& world) {
             world.skip("eu-west-1");
             world.local.on_trial.set(world.position("eu-west-1"));
         }},
        {"agent_draining", [](World& world) { world.state("eu-west-1").agent = health::Agent::drain; }},
        {"draining",
         [](World& world) {
             world.state("eu-west-1").draining = true;
             world.state("eu-west-1").order = health::Override::drain;
         }},
        {"forced_down", [](World& world) { world.state("eu-west-1").order = health::Override::force_down; }},
    };
    for (const auto& policy : policies)
        for (const auto& [reason, change] : rows) {
            World world{three_with(policy)};
            world.rtt("eu-west-1", 5);
            world.rtt("us-east-1", 90);
            world.rtt("ap-southeast-1", 200);
            change(world);
            const std::string wanted = *reason == '\0' ? "eu-west-1" : std::string{"eu-west-1: "} + reason;
            EXPECT_EQ(first(world, from("DE")), wanted) << policy;
        }
}

TEST(FirstChoice, WhatRulesForbidIsTheFirstChoiceAllTheSame) {
    World world{
        three_with("    policy: country\n    countries: {DE: {origins: [ap-southeast-1], only: true}}\n"
                   "    writes: us-east-1\n    unserved: warning\n    routes: [{path: /us, origins: [us-east-1]}]\n")};
    EXPECT_EQ(first(world, from("FR"), "POST"), "eu-west-1: forbidden_write");
    EXPECT_EQ(first(world, from("FR"), "GET", "/us"), "eu-west-1: forbidden_route");
    EXPECT_EQ(first(world, from("DE")), "ap-southeast-1");
}

TEST(FirstChoice, BehindThreeBetterOnesKeepsItsOwnReason) {
    World world{three + "  eu-west-2: https://uk.example.com\n"};
    world.set("eu-west-1", health::Verdict::degraded);
    EXPECT_EQ(first(world, from("IE")), "eu-west-1: degraded");
}

TEST(FirstChoice, NobodyServesAndItsReasonIsStillTold) {
    World world{three_with("    all_down: closed\n")};
    for (const char* name : {"us-east-1", "eu-west-1", "ap-southeast-1"}) world.set(name, health::Verdict::down);
    EXPECT_EQ(first(world, from("DE")), "eu-west-1: down");
    EXPECT_EQ(world.decision.candidate_count, 0);
}

TEST(Describe, OfTheFirstCandidateSaysThatNothingBetterIsLeft) {
    for (const auto reason : {Reason::degraded, Reason::unknown, Reason::returning, Reason::local_skip, Reason::stalled,
                              Reason::on_trial, Reason::busy, Reason::full}) {
        EXPECT_EQ(describe(reason, true).find("behind"), std::string_view::npos) << name(reason);
        EXPECT_NE(describe(reason, true), describe(reason)) << name(reason);
    }
    EXPECT_EQ(describe(Reason::nearest, true), describe(Reason::nearest));
}

}  // namespace
}  // namespace nearhop::steering::test
