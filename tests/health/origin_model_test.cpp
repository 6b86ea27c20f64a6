#include "health/origin_health.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace nearhop::health {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t checks = 3;  // the last one degrades

/// One check at one address, from its whole history since it last turned.
struct CheckModel {
    bool known = false, failing = false;
    std::string history;

    void observe(bool passed, unsigned fall, unsigned rise) {
        if (!known) {
            known = true;
            failing = !passed;
            return;
        }
        history += passed ? 'P' : 'F';
        const std::string clean(rise, 'P');
        bool turns = false;
        if (failing) {
            turns = history.ends_with(clean);
        } else {
            const auto at = history.rfind(clean);
            unsigned failures = 0;
            for (auto i = at == std::string::npos ? 0 : at + rise; i < history.size(); ++i)
                failures += history[i] == 'F';
            turns = failures >= fall;
        }
        if (!turns) return;
        failing = !failing;
        history.clear();
    }
};

/// Everything that stands around the machine (which has a model of its own): checks, the origin's word, orders.
TEST(OriginModel, ChecksAgentAndOrdersAgreeWithAnObviousModelOverRandomHistories) {
    std::mt19937 random{20261125};
    const auto below = [&](unsigned limit) { return std::uniform_int_distribution<unsigned>{0, limit - 1}(random); };
    const std::vector<std::string> addresses{"a", "b"};
    int failed = 0, mended = 0, degraded = 0, expired = 0, hidden = 0;

    for (int sequence = 0; sequence < 1000; ++sequence) {
        Thresholds rules;
        rules.fall = 1 + below(4);
        rules.rise = 1 + below(4);
        OriginMonitor origin{rules};
        std::vector<conf::Check> configured(checks);
        for (std::size_t i = 0; i < checks; ++i) configured[i].name = std::string(1, static_cast<char>('x' + i));
        configured.back().need = conf::Need::degraded;
        TimePoint now{1000s};
        origin.set_checks(configured, now);
        origin.set_addresses(addresses, now);
        CheckModel model[2][checks];
        Agent word = Agent::none;
        TimePoint until{};
        Override order = Override::none;
        const unsigned health = 20 + below(75);

        for (int step = 0; step < 150; ++step) {
            now += milliseconds{below(2000)};
            SCOPED_TRACE("sequence " + std::to_string(sequence) + " step " + std::to_string(step));
            const auto before = origin.health(now);
            bool changed = false, probed = false;
            switch (below(8)) {
                case 0: {
                    const auto said = static_cast<Agent>(below(4));
                    const milliseconds lasts{1000 + below(9000)};
                    changed = origin.on_agent(said, lasts, now);
                    if (said != Agent::none) until = now + lasts;
                    if (said != Agent::none) word = said == Agent::up ? Agent::none : said;
                    break;
                }
                case 1:
                    changed = origin.on_time(now);
                    if (word != Agent::none && now >= until) {
                        word = Agent::none;
                        ++expired;
                    }
                    break;
                case 2:
                    if (below(4) != 0) break;
                    order = static_cast<Override>(below(4));
                    changed = origin.set_override(order, now);
                    break;
                case 3:
                    changed = origin.on_passive("", below(2) ? Passive::ok : Passive::connect_failed, Reason::refused,
                                                now, 0.5);
                    break;
                default: {
                    const unsigned at = below(2);
                    ProbeResult result{below(100) < health, Reason::refused, 0, now, CertificateProblem::none, {}};
                    result.checks.read = result.passed && below(5) != 0;
                    for (std::size_t i = 0; i < checks; ++i)
                        result.checks.of[i] = static_cast<Finding>(below(100) < health ? below(3) : 3);
                    changed = origin.on_probe(addresses[at], result, now);
                    probed = true;
                    if (result.checks.read)
                        for (std::size_t i = 0; i < checks; ++i)
                            model[at][i].observe(result.checks.of[i] != Finding::fail, rules.fall, rules.rise);
                }
            }
            const auto after = origin.health(now);
            // The set: at any address that is not down, or at any when all are.
            bool all_down = true;
            for (const auto& address : addresses) all_down &= origin.address_state(address).verdict == Verdict::down;
            for (std::size_t i = 0; i < checks; ++i) {
                bool fails = false;
                for (unsigned at = 0; at < 2; ++at)
                    fails |= model[at][i].failing &&
                             (all_down || origin.address_state(addresses[at]).verdict != Verdict::down);
                ASSERT_EQ((after.failing >> i & 1u) != 0, fails) << i;
            }
            const auto& state = after.state;
            ASSERT_EQ(state.order, order);
            ASSERT_EQ(state.draining, order == Override::drain);
            ASSERT_EQ(state.agent, order == Override::force_up ? Agent::none : word);
            if (order == Override::force_up) {
                ASSERT_EQ(state.verdict, Verdict::up);
                ASSERT_TRUE(state.eligible());
                hidden += all_down;
            } else if (order == Override::force_down) {
                ASSERT_EQ(state.verdict, Verdict::down);
            } else {
                ASSERT_EQ(state.verdict == Verdict::down, all_down);
                const bool bad = (after.failing >> (checks - 1) & 1u) != 0 || word == Agent::degraded;
                ASSERT_TRUE(state.verdict != Verdict::degraded || bad);
                ASSERT_FALSE(state.verdict == Verdict::up && bad);
                degraded += state.verdict == Verdict::degraded;
            }
            // What is published moves only with a call that says so, and then with its time. (A probe may change
            // something of its address alone, an ejection something that an order hides.)
            const bool moved = before.failing != after.failing || before.state.verdict != state.verdict ||
                               before.state.agent != state.agent || before.state.order != state.order ||
                               before.state.ejected != state.ejected;
            if (moved) {
                ASSERT_TRUE(changed);
                ASSERT_TRUE(state.reason != Reason::none || state.verdict == Verdict::unknown);
            } else if (!probed && !changed) {
                ASSERT_EQ(before.state.since, state.since);
            }
            failed += (after.failing & ~before.failing) != 0;
            mended += (before.failing & ~after.failing) != 0;
        }
    }
    for (const int count : {failed, mended, degraded, expired, hidden}) EXPECT_GT(count, 500);
}

}  // namespace
}  // namespace nearhop::health
