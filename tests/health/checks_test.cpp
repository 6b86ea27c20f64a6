#include "health/origin_health.h"

#include <gtest/gtest.h>

namespace nearhop::health {
namespace {

using namespace std::chrono_literals;
using conf::Need;

const TimePoint t0{1000s};
const std::string a = "192.0.2.1:443", b = "192.0.2.2:443";

conf::Check needed(std::string name, Need need) {
    return {.name = std::move(name), .need = need, .paths = {}, .max = {}};
}

/// Checks 0 to 2: cache (note), database (writes), search (degraded).
struct Origin : OriginMonitor {
    explicit Origin(const std::vector<std::string>& addresses = {a}) : OriginMonitor{Thresholds{}} {
        set_checks({needed("cache", Need::note), needed("database", Need::writes), needed("search", Need::degraded)},
                   t0);
        set_addresses(addresses, t0);
    }
    /// A good probe whose body says, by the letter: o(k), w(arn), f(ail), anything else: missing.
    bool says(std::string_view letters, TimePoint now, const std::string& address = a) {
        ProbeResult result{true, Reason::passed, 200, now, CertificateProblem::none, {}};
        result.checks.read = true;
        for (std::size_t i = 0; i < letters.size(); ++i)
            result.checks.of[i] = letters[i] == 'o'   ? Finding::ok
                                  : letters[i] == 'w' ? Finding::warn
                                  : letters[i] == 'f' ? Finding::fail
                                                      : Finding::missing;
        return on_probe(address, result, now);
    }
    bool fails(TimePoint now, const std::string& address = a) {
        return on_probe(address, {false, Reason::refused, 0, now}, now);
    }
};

TEST(Checks, TheFirstBodyDecidesAndThenFallFailuresAndRisePasses) {
    Origin origin;
    EXPECT_TRUE(origin.says("fof", t0));
    EXPECT_EQ(origin.failing(), 0b101);
    EXPECT_EQ(origin.check(0).since, t0);

    EXPECT_FALSE(origin.says("oof", t0 + 1s));
    EXPECT_TRUE(origin.state().changing) << "looks again soon";
    EXPECT_FALSE(origin.says("oof", t0 + 2s));
    EXPECT_EQ(origin.failing(), 0b101);
    EXPECT_TRUE(origin.says("oof", t0 + 3s));
    EXPECT_EQ(origin.failing(), 0b100);
    EXPECT_EQ(origin.check(0).since, t0 + 3s);
    EXPECT_FALSE(origin.state().changing);

    // F P F P F is three failures: only three passes in a row forget them.
    for (const char* said : {"off", "oof", "off", "oof"}) EXPECT_FALSE(origin.says(said, t0 + 4s)) << said;
    EXPECT_TRUE(origin.says("off", t0 + 5s));
    EXPECT_EQ(origin.failing(), 0b110);
}

TEST(Checks, WarningsAndSilenceCountAsGood) {
    Origin origin;
    origin.says("www", t0);
    EXPECT_EQ(origin.failing(), 0);
    EXPECT_EQ(origin.check(1).last, Finding::warn);
    Origin broken;
    broken.says("ofo", t0);
    for (int i = 1; i <= 3; ++i) broken.says("o?o", t0 + i * 1s);
    EXPECT_EQ(broken.failing(), 0);
    EXPECT_EQ(broken.check(1).last, Finding::missing);
}

TEST(Checks, AProbeWithoutABodyLeavesThemAsTheyWere) {
    Origin origin;
    origin.says("ofo", t0);
    for (int i = 1; i <= 9; ++i) origin.on_probe(a, {true, Reason::passed, 200, t0 + i * 1s}, t0 + i * 1s);
    EXPECT_EQ(origin.failing(), 0b010);
    for (int i = 0; i < 3; ++i) origin.fails(t0 + 10s);
    EXPECT_EQ(origin.state().verdict, Verdict::down);
    EXPECT_EQ(origin.failing(), 0b010);
}

TEST(Checks, ACheckThatDegradesDoesSoToAnOriginThatIsUp) {
    Origin origin;
    EXPECT_TRUE(origin.says("oof", t0));
    EXPECT_EQ(origin.state().verdict, Verdict::degraded);
    EXPECT_EQ(origin.state().reason, Reason::check_failed);
    for (int i = 1; i <= 3; ++i) origin.fails(t0 + i * 1s);
    EXPECT_EQ(origin.state().verdict, Verdict::down);
    EXPECT_EQ(origin.state().reason, Reason::refused);
    for (int i = 4; i <= 6; ++i) origin.says("oof", t0 + i * 1s);
    EXPECT_EQ(origin.state().verdict, Verdict::degraded);
    for (int i = 7; i <= 9; ++i) origin.says("ooo", t0 + i * 1s);
    EXPECT_EQ(origin.state().verdict, Verdict::up);
    EXPECT_EQ(origin.state().since, t0 + 9s);
    EXPECT_EQ(origin.check(2).since, t0 + 9s);
}

TEST(Checks, FailForTheOriginWhenTheyDoAtAnyAddressThatMayServe) {
    Origin origin{{a, b}};
    origin.says("ooo", t0, a);
    EXPECT_TRUE(origin.says("ofo", t0, b));
    EXPECT_EQ(origin.failing(), 0b010);
    for (int i = 1; i <= 2; ++i) EXPECT_FALSE(origin.fails(t0 + i * 1s, b));
    EXPECT_TRUE(origin.fails(t0 + 3s, b));
    EXPECT_EQ(origin.failing(), 0) << "nothing is sent to the address that is down";
    for (int i = 4; i <= 6; ++i) origin.fails(t0 + i * 1s, a);
    EXPECT_EQ(origin.failing(), 0b010) << "all are down: what each said last";
}

TEST(Checks, KeepTheirStateByNameOverAReload) {
    Origin origin;
    origin.says("ffo", t0);
    origin.set_checks({needed("new", Need::note), needed("database", Need::degraded)}, t0 + 1s);
    EXPECT_EQ(origin.failing(), 0b10);
    EXPECT_EQ(origin.check(1).since, t0);
    EXPECT_EQ(origin.state().verdict, Verdict::degraded) << "what needs it may have changed";
    origin.set_checks({}, t0 + 2s);
    EXPECT_EQ(origin.failing(), 0);
    EXPECT_EQ(origin.state().verdict, Verdict::up);
}

TEST(Agent, HoldsItsWordUntilItSaysAnotherOrTimeIsOver) {
    Origin origin;
    origin.says("ooo", t0);
    EXPECT_TRUE(origin.on_agent(Agent::drain, 15s, t0 + 1s));
    EXPECT_FALSE(origin.on_agent(Agent::drain, 15s, t0 + 10s)) << "said again: holds longer";
    EXPECT_FALSE(origin.on_agent(Agent::none, 15s, t0 + 11s)) << "an answer without the field";
    EXPECT_EQ(origin.state().agent, Agent::drain);
    EXPECT_EQ(origin.state().verdict, Verdict::up);
    EXPECT_EQ(origin.state().reason, Reason::agent_drain);
    EXPECT_EQ(origin.state().since, t0 + 1s);
    EXPECT_FALSE(origin.state().draining) << "that is the operator's";
    EXPECT_FALSE(origin.state().eligible());
    EXPECT_FALSE(origin.on_time(t0 + 24s));
    EXPECT_TRUE(origin.on_time(t0 + 25s));
    EXPECT_EQ(origin.state().agent, Agent::none);

    EXPECT_TRUE(origin.on_agent(Agent::degraded, 15s, t0 + 30s));
    EXPECT_EQ(origin.state().verdict, Verdict::degraded);
    EXPECT_EQ(origin.state().reason, Reason::agent_degraded);
    EXPECT_TRUE(origin.on_agent(Agent::up, 15s, t0 + 31s));
    EXPECT_EQ(origin.state().verdict, Verdict::up);
    EXPECT_FALSE(origin.on_agent(Agent::up, 15s, t0 + 32s));
    EXPECT_FALSE(origin.on_time(t0 + 99s));
}

TEST(Override, StandsAboveTheMachineWhichGoesOnBelow) {
    Origin origin;
    origin.says("ooo", t0);
    EXPECT_TRUE(origin.set_override(Override::force_down, t0 + 1s));
    EXPECT_FALSE(origin.set_override(Override::force_down, t0 + 2s));
    EXPECT_EQ(origin.state().verdict, Verdict::down);
    EXPECT_EQ(origin.state().reason, Reason::operator_force_down);
    EXPECT_EQ(origin.state().since, t0 + 1s);

    EXPECT_TRUE(origin.set_override(Override::force_up, t0 + 3s));
    for (int i = 0; i < 3; ++i) origin.fails(t0 + 4s);
    for (int i = 0; i < 3; ++i) origin.on_passive("", Passive::connect_failed, Reason::refused, t0 + 4s, 0.5);
    origin.on_agent(Agent::drain, 15s, t0 + 4s);
    EXPECT_EQ(origin.state().verdict, Verdict::up);
    EXPECT_FALSE(origin.state().ejected);
    EXPECT_TRUE(origin.state().eligible());
    EXPECT_EQ(origin.address_state(a).verdict, Verdict::down) << "the truth shows below";

    EXPECT_TRUE(origin.set_override(Override::drain, t0 + 5s));
    EXPECT_TRUE(origin.state().draining);
    EXPECT_EQ(origin.state().verdict, Verdict::down);
    EXPECT_TRUE(origin.state().ejected);
    EXPECT_TRUE(origin.set_override(Override::none, t0 + 6s));
    EXPECT_FALSE(origin.state().draining);
    EXPECT_EQ(origin.state().order, Override::none);
    EXPECT_EQ(origin.state().reason, Reason::refused) << "the machine's own, again";
    EXPECT_EQ(origin.state().since, t0 + 6s);
    EXPECT_EQ(origin.state().agent, Agent::drain);
}

}  // namespace
}  // namespace nearhop::health
