#include "health/verdict.h"
#include "tests/rounds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace nearhop::health {
namespace {

using namespace std::chrono_literals;

/// The rules of a machine once more, written for obviousness alone: it keeps the whole history and counts from scratch.
class Model {
public:
    explicit Model(const Thresholds& thresholds) : rules_{thresholds} {}

    void probe(bool passed, TimePoint began, TimePoint now) {
        probes_.push_back({passed, began});
        history_ += passed ? 'P' : 'F';
        const std::string rise(rules_.rise, 'P');
        if (verdict == Verdict::unknown) {
            decide(passed ? Verdict::up : Verdict::down);
        } else if (verdict == Verdict::down) {
            if (history_.ends_with(rise)) decide(Verdict::up);
        } else {
            // Failures after the last unbroken `rise` passes; a longer row of passes is all one end.
            const auto clean = history_.rfind(rise);
            const auto from = clean == std::string::npos ? 0 : clean + rise.size();
            unsigned failures = 0;
            for (auto at = from; at < history_.size(); ++at) failures += history_[at] == 'F';
            if (failures >= rules_.fall) decide(Verdict::down);
        }
        if (on_trial && passed && now - returned_ >= rules_.ejection) {
            on_trial = false;
            ejections = 0;
            return;
        }
        if (!ejected || now < until || !passed || began <= ejected_at) return;
        unsigned row = 0;
        for (auto at = probes_.rbegin(); at != probes_.rend(); ++at) {
            if (at->began <= ejected_at) continue;
            if (!at->passed) break;
            ++row;
        }
        if (row < rules_.rise) return;
        ejected = false;
        on_trial = true;
        returned_ = now;
        trials_ = 0;
    }

    void passive(char kind, TimePoint now) {
        if (ejected) return;
        kind == 'o' || kind == 't' ? row_.clear() : row_.push_back(kind);
        if (on_trial && kind == 't' && ++trials_ == rules_.rise) {
            on_trial = false;
            ejections = 0;
        }
        if (on_trial && !row_.empty()) return eject(now);
        const auto connects = static_cast<unsigned>(std::count(row_.begin(), row_.end(), 'c'));
        if (connects >= rules_.connect_failures || row_.size() - connects >= rules_.status_failures) eject(now);
    }

    void traffic(std::uint64_t ok, std::uint64_t failed, TimePoint now) {
        if (ejected) return;
        const auto second = std::chrono::floor<std::chrono::seconds>(now);
        traffic_.push_back({second, ok, failed});
        std::uint64_t good = 0, bad = 0;
        for (const auto& seen : traffic_) {
            if (second - seen.second >= rules_.ratio_window) continue;
            good += seen.ok;
            bad += seen.failed;
        }
        if (bad > 0 && good + bad >= rules_.ratio_minimum && bad * 100 >= (good + bad) * rules_.ratio_percent)
            eject(now);
    }

    Verdict verdict = Verdict::unknown;
    bool ejected = false;
    bool on_trial = false;
    unsigned ejections = 0;
    TimePoint outage{};  ///< its first ejection
    TimePoint ejected_at{};
    TimePoint until{};  ///< the jitter is the machine's: the test checks its bounds and copies it here

private:
    struct Probe {
        bool passed;
        TimePoint began;
    };
    struct Traffic {
        std::chrono::time_point<Clock, std::chrono::seconds> second;
        std::uint64_t ok, failed;
    };

    void decide(Verdict decided) {
        verdict = decided;
        history_.clear();
    }
    void eject(TimePoint now) {
        if (!on_trial) outage = now;
        ejections = on_trial ? ejections + 1 : 1;
        ejected = true;
        on_trial = false;
        ejected_at = now;
        row_.clear();
        traffic_.clear();
    }

    Thresholds rules_;
    std::string history_;
    std::vector<Probe> probes_;
    std::vector<char> row_;
    std::vector<Traffic> traffic_;
    TimePoint returned_{};
    unsigned trials_ = 0;
};

TEST(MachineModel, AgreesWithAnObviousModelOverRandomHistories) {
    std::mt19937 random{20240611};
    const auto below = [&](unsigned limit) { return std::uniform_int_distribution<unsigned>{0, limit - 1}(random); };
    int ups = 0, downs = 0, ejects = 0, returns = 0, longer = 0, proven = 0, relapses = 0;

    const int sequences = test::rounds(5000);
    for (int sequence = 0; sequence < sequences; ++sequence) {
        Thresholds rules;
        rules.fall = 1 + below(4);
        rules.rise = 1 + below(4);
        rules.connect_failures = 1 + below(4);
        rules.status_failures = 1 + below(6);
        rules.ratio_minimum = 1 + below(30);
        rules.ratio_percent = 1 + below(100);
        rules.ratio_window = std::chrono::seconds{1 + below(12)};
        rules.ejection = milliseconds{500 + below(5000)};
        rules.ejection_max = milliseconds{6000 + below(20000)};
        Machine machine{rules};
        Model model{rules};
        const unsigned health = 10 + below(85);  // percent of what goes well
        TimePoint now{std::chrono::seconds{below(100)}};

        for (int step = 0; step < 200; ++step) {
            now += milliseconds{below(4) == 0 ? below(6000) : below(500)};
            const State before = machine.state();
            const double dice = below(1000) / 1000.0;
            bool changed = false;
            switch (below(4)) {
                case 0:
                case 1: {
                    const bool passed = below(100) < health;
                    const auto began = now - milliseconds{below(2000)};
                    changed = machine.on_probe({passed, passed ? Reason::passed : Reason::status, 500, began}, now);
                    model.probe(passed, began, now);
                    break;
                }
                case 2: {
                    const char kind = below(100) < health ? (below(2) ? 'o' : 't') : below(2) ? 'c' : 's';
                    const auto result = kind == 'o'   ? Passive::ok
                                        : kind == 't' ? Passive::trial_passed
                                        : kind == 'c' ? Passive::connect_failed
                                                      : Passive::answered_failed;
                    changed = machine.on_passive(result, Reason::refused, now, dice);
                    model.passive(kind, now);
                    break;
                }
                default: {
                    const std::uint64_t ok = below(health), failed = below(101 - health) / 4;
                    changed = machine.on_traffic(ok, failed, now, dice);
                    model.traffic(ok, failed, now);
                    break;
                }
            }
            const State& after = machine.state();
            SCOPED_TRACE("sequence " + std::to_string(sequence) + " step " + std::to_string(step));
            ASSERT_EQ(after.verdict, model.verdict);
            ASSERT_EQ(after.ejected, model.ejected);
            ASSERT_EQ(after.ejections, model.ejections);
            ASSERT_EQ(after.on_trial, model.on_trial);
            ASSERT_FALSE(after.on_trial && after.ejected);
            const bool moved = before.verdict != after.verdict || before.ejected != after.ejected;
            ASSERT_EQ(changed, moved || before.on_trial != after.on_trial);
            // A change carries its time; nothing else moves it, except an ejection that ends while down.
            if (!moved) {
                ASSERT_EQ(after.since, before.since);
            } else if (!(before.ejected && !after.ejected && after.verdict == Verdict::down)) {
                ASSERT_EQ(after.since, now);
                ASSERT_NE(after.reason, Reason::none);
            }
            if (after.ejected && !before.ejected) {
                ++ejects;
                const auto base = std::clamp<Clock::duration>(now - model.outage, rules.ejection, rules.ejection_max);
                ASSERT_GE(after.ejected_until - now, base * 9 / 10 - 1ms);
                ASSERT_LE(after.ejected_until - now, std::min<Clock::duration>(base * 11 / 10, rules.ejection_max));
                model.until = after.ejected_until;
            }
            if (before.ejected && !after.ejected) {
                ++returns;
                ASSERT_GE(now, before.ejected_until);
            }
            proven += before.on_trial && !after.on_trial && !after.ejected;
            relapses += before.on_trial && after.ejected;
            ups += before.verdict == Verdict::down && after.verdict == Verdict::up;
            downs += before.verdict == Verdict::up && after.verdict == Verdict::down;
            longer += after.ejected && !before.ejected && now - model.outage > rules.ejection;
        }
    }
    // The histories must have been worth comparing.
    for (const int count : {ups, downs, ejects, returns, longer, proven, relapses}) EXPECT_GT(count, sequences / 5);
}

}  // namespace
}  // namespace nearhop::health
