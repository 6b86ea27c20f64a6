#include "health/origin_health.h"

#include <gtest/gtest.h>

namespace nearhop::health {
namespace {

using namespace std::chrono_literals;

const TimePoint t0{1000s};
const std::string a = "192.0.2.1:443", b = "192.0.2.2:443", c = "192.0.2.3:443";

struct Origin : OriginMonitor {
    Origin(const std::vector<std::string>& addresses) : OriginMonitor{Thresholds{}} { set_addresses(addresses, t0); }

    bool pass(const std::string& address, TimePoint now, int times = 1) {
        bool changed = false;
        while (times-- > 0) changed |= on_probe(address, {true, Reason::passed, 200, now}, now);
        return changed;
    }
    bool fail(const std::string& address, TimePoint now, int times = 1, Reason reason = Reason::refused) {
        bool changed = false;
        while (times-- > 0) changed |= on_probe(address, {false, reason, 0, now}, now);
        return changed;
    }
    void eject(TimePoint now) {
        for (int i = 0; i < 3; ++i) on_passive("", Passive::connect_failed, Reason::refused, now, 0.5);
        ASSERT_TRUE(state().ejected);
    }
    Verdict verdict() const { return state().verdict; }
    Verdict verdict(const std::string& address) const { return address_state(address).verdict; }
};

TEST(OriginMonitor, IsUpWhileAnyAddressIs) {
    Origin origin{{a, b}};
    EXPECT_EQ(origin.verdict(), Verdict::unknown);
    EXPECT_FALSE(origin.decided());
    EXPECT_TRUE(origin.fail(a, t0));
    EXPECT_EQ(origin.verdict(), Verdict::unknown) << "the other address may still be up";
    EXPECT_TRUE(origin.pass(b, t0 + 1s));
    EXPECT_TRUE(origin.decided());
    EXPECT_EQ(origin.verdict(), Verdict::up);
    EXPECT_EQ(origin.state().reason, Reason::passed);
    EXPECT_EQ(origin.verdict(a), Verdict::down);
    EXPECT_TRUE(origin.fail(b, t0 + 2s, 3, Reason::head_timeout));
    EXPECT_EQ(origin.verdict(), Verdict::down);
    EXPECT_EQ(origin.state().reason, Reason::head_timeout) << "the reason of the last address";
    EXPECT_EQ(origin.state().since, t0 + 2s);
    EXPECT_TRUE(origin.pass(a, t0 + 3s, 3));
    EXPECT_EQ(origin.verdict(), Verdict::up);
}

TEST(OriginMonitor, KeepsTheStateOfAddressesThatStay) {
    Origin origin{{a, b}};
    origin.pass(a, t0);
    origin.fail(b, t0, 1);
    EXPECT_FALSE(origin.set_addresses({b, c, a, a}, t0 + 1s));
    EXPECT_EQ(origin.verdict(a), Verdict::up);
    EXPECT_EQ(origin.verdict(b), Verdict::down);
    EXPECT_EQ(origin.verdict(c), Verdict::unknown);
    EXPECT_TRUE(origin.set_addresses({b}, t0 + 2s)) << "the last address that was up has gone";
    EXPECT_EQ(origin.verdict(), Verdict::down);
    EXPECT_EQ(origin.state().reason, Reason::refused);
    EXPECT_FALSE(origin.fail(a, t0 + 3s)) << "a probe that outlived its address counts for nothing";
    origin.set_addresses({a, b}, t0 + 4s);
    EXPECT_EQ(origin.verdict(a), Verdict::unknown) << "forgotten";
}

TEST(OriginMonitor, CountsANewAddressAsTheVerdictThatTheOriginHadUntilItsFirstProbe) {
    Origin good{{a}};
    good.pass(a, t0);
    EXPECT_FALSE(good.set_addresses({b}, t0 + 1s));
    EXPECT_EQ(good.verdict(), Verdict::up) << "all addresses changed at once: nobody notices";
    EXPECT_TRUE(good.fail(b, t0 + 1s));
    EXPECT_EQ(good.verdict(), Verdict::down) << "its first probe decides alone";

    Origin dead{{a}};
    dead.fail(a, t0);
    EXPECT_FALSE(dead.set_addresses({a, b}, t0 + 1s));
    EXPECT_EQ(dead.verdict(), Verdict::down);
    EXPECT_TRUE(dead.pass(b, t0 + 1s));
    EXPECT_EQ(dead.verdict(), Verdict::up);
}

TEST(OriginMonitor, GoesDownForDnsOnlyWhereItNeverHadAnAddress) {
    Origin origin{{}};
    EXPECT_EQ(origin.verdict(), Verdict::unknown);
    EXPECT_TRUE(origin.on_resolve_failed(t0));
    EXPECT_FALSE(origin.on_resolve_failed(t0 + 1s));
    EXPECT_EQ(origin.verdict(), Verdict::down);
    EXPECT_EQ(origin.state().reason, Reason::resolve_failed);
    EXPECT_TRUE(origin.decided());
    EXPECT_TRUE(origin.set_addresses({a}, t0 + 2s));
    EXPECT_EQ(origin.verdict(), Verdict::unknown) << "DNS is back: the address is not to blame";
    EXPECT_TRUE(origin.pass(a, t0 + 3s));
    EXPECT_FALSE(origin.on_resolve_failed(t0 + 4s));
    EXPECT_FALSE(origin.set_addresses({}, t0 + 4s));
    EXPECT_EQ(origin.verdict(), Verdict::up);
}

TEST(OriginMonitor, ReturnsFromEjectionOnPassesOfAnyAddress) {
    Origin origin{{a, b}};
    origin.pass(a, t0);
    origin.pass(b, t0);
    origin.eject(t0);
    EXPECT_EQ(origin.verdict(), Verdict::up);
    EXPECT_FALSE(origin.state().eligible());
    EXPECT_TRUE(origin.schedule_state(a).changing) << "its addresses are probed at the transitional interval";
    EXPECT_FALSE(origin.address_state(a).changing);
    EXPECT_FALSE(origin.pass(a, t0, 9)) << "these began with the ejection, not after it";
    EXPECT_FALSE(origin.pass(a, t0 + 1s));
    EXPECT_FALSE(origin.pass(b, t0 + 2s));
    EXPECT_FALSE(origin.fail(b, t0 + 3s));
    EXPECT_FALSE(origin.pass(a, t0 + 11s));
    EXPECT_FALSE(origin.pass(b, t0 + 12s)) << "the failure started the count again";
    EXPECT_TRUE(origin.pass(a, t0 + 13s));
    EXPECT_TRUE(origin.state().eligible());
    EXPECT_EQ(origin.state().reason, Reason::passed);
}

TEST(OriginMonitor, IsNotHeldOutByADeadAddressBesideAGoodOne) {
    Origin origin{{a, b}};
    origin.pass(a, t0);
    origin.fail(b, t0);
    origin.eject(t0);
    for (auto at = 11s; at < 13s; at += 1s) {
        EXPECT_FALSE(origin.pass(a, t0 + at));
        EXPECT_FALSE(origin.fail(b, t0 + at));
    }
    EXPECT_TRUE(origin.pass(a, t0 + 13s));
    EXPECT_TRUE(origin.state().eligible());
}

TEST(OriginMonitor, ProbesDeadAddressesOfAnEjectedOriginAtTheDownIntervalAndKeepsTheirReason) {
    Origin origin{{a, b, c}};
    origin.eject(t0);
    for (const auto& address : {a, b, c}) origin.fail(address, t0, 1, Reason::head_timeout);
    EXPECT_FALSE(origin.schedule_state(a).changing);
    // One pass each: enough for the ejection, not for any verdict.
    origin.pass(a, t0 + 11s);
    origin.pass(b, t0 + 11s);
    EXPECT_TRUE(origin.pass(c, t0 + 11s));
    EXPECT_FALSE(origin.state().ejected);
    EXPECT_EQ(origin.verdict(), Verdict::down);
    EXPECT_EQ(origin.state().reason, Reason::head_timeout);
}

TEST(OriginMonitor, CountsAnAttemptAgainstTheOriginAndADialAgainstItsAddressOnly) {
    Origin origin{{a, b}};
    origin.pass(a, t0);
    origin.pass(b, t0);
    bool changed = false;
    for (int i = 0; i < 3; ++i) {
        changed = origin.on_dial(a, Passive::connect_failed, Reason::refused, t0 + 1s, 0.5);
        origin.on_passive(b, Passive::ok, Reason::none, t0 + 1s, 0.5);
    }
    EXPECT_TRUE(changed);
    EXPECT_TRUE(origin.address_state(a).ejected);
    EXPECT_FALSE(origin.address_state(b).ejected);
    EXPECT_TRUE(origin.state().eligible());
    for (int i = 0; i < 3; ++i) changed = origin.on_passive(b, Passive::connect_failed, Reason::reset, t0 + 2s, 0.5);
    EXPECT_TRUE(changed);
    EXPECT_TRUE(origin.state().ejected);
    EXPECT_EQ(origin.state().ejected_for, Reason::reset);
    EXPECT_TRUE(origin.address_state(b).ejected);

    Origin shared{{a}};
    shared.pass(a, t0);
    EXPECT_TRUE(shared.on_traffic(10, 10, t0, 0.5));
    EXPECT_TRUE(shared.state().ejected);
    EXPECT_FALSE(shared.address_state(a).ejected);
}

TEST(OriginMonitor, DrainsAndKeepsItsStateOverNewThresholds) {
    Origin origin{{a}};
    origin.pass(a, t0);
    EXPECT_TRUE(origin.set_override(Override::drain, t0 + 1s));
    EXPECT_FALSE(origin.state().eligible());
    const auto before = origin.state();
    Thresholds thresholds;
    thresholds.fall = 1;
    thresholds.connect_failures = 1;
    origin.set_thresholds(thresholds);
    EXPECT_EQ(origin.state(), before);
    origin.fail(a, t0 + 2s);
    EXPECT_EQ(origin.verdict(), Verdict::down) << "the new thresholds reach the addresses";
    EXPECT_TRUE(origin.state().draining);
    origin.set_addresses({b}, t0 + 3s);
    origin.pass(b, t0 + 3s);
    EXPECT_EQ(origin.verdict(), Verdict::up);
    origin.fail(b, t0 + 4s);
    EXPECT_EQ(origin.verdict(), Verdict::down) << "and the addresses that come later";
    EXPECT_TRUE(origin.on_passive("", Passive::connect_failed, Reason::refused, t0 + 5s, 0.5)) << "and the origin";
}

TEST(OriginMonitor, PublishesTheMeanRoundTripOfAddressesThatAreNotDown) {
    Origin origin{{a, b, c}};
    EXPECT_LT(origin.health(t0).rtt_ms, 0);
    origin.on_rtt(a, 20, t0);
    origin.on_rtt(b, 40, t0);
    origin.on_rtt("192.0.2.9:443", 1000, t0);
    EXPECT_EQ(origin.health(t0).rtt_ms, 30);
    origin.fail(b, t0);
    EXPECT_EQ(origin.health(t0).rtt_ms, 20);
    EXPECT_EQ(origin.health(t0).state, origin.state());
    EXPECT_LT(origin.health(t0 + 181s).rtt_ms, 0);
}

}  // namespace
}  // namespace nearhop::health
