#include "health/rto.h"

#include <algorithm>

namespace nearhop::health {

Rto rto_bound(const RtoFacts& facts) noexcept {
    const auto& intervals = facts.intervals;
    const auto percent = 100 + std::min(intervals.jitter, 100u);
    const auto stretched = [&](milliseconds interval) {
        return milliseconds{(interval.count() * percent + 99) / 100} + facts.timer;
    };
    const milliseconds probe = facts.probe_timeout + facts.timer;
    const milliseconds after_probe = probe + milliseconds{1} + facts.timer;
    // Before the failure the schedule is steady, or still transitional after something minor.
    const milliseconds first = std::max(stretched(std::max(intervals.steady, intervals.transitional)), after_probe);
    const milliseconds further = std::max(stretched(intervals.transitional), after_probe);

    Rto rto;
    rto.detection = first + (std::max(facts.fall, 1u) - 1) * further + probe;
    rto.delay = std::min(facts.deadline + facts.timer, facts.stale + facts.dial + facts.head_timeout + 3 * facts.timer);
    rto.total = rto.detection + rto.delay;
    return rto;
}

}  // namespace nearhop::health
