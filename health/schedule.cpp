#include "health/schedule.h"

#include <algorithm>

namespace nearhop::health {

milliseconds first_delay(const Intervals& intervals, double dice) noexcept {
    return milliseconds{static_cast<milliseconds::rep>(static_cast<double>(intervals.steady.count()) * dice)};
}

TimePoint next_probe(const Intervals& intervals, const State& state, TimePoint began, TimePoint ended,
                     double dice) noexcept {
    const auto interval = state.changing                   ? intervals.transitional
                          : state.verdict == Verdict::down ? intervals.down
                                                           : intervals.steady;
    const double spread = std::min(intervals.jitter, 100u) / 100.0;
    const auto jittered = std::chrono::duration<double, std::milli>{interval} * (1 + spread * (2 * dice - 1));
    // Due times follow from the start that really happened, so a stall is never caught up by a burst.
    return std::max(began + std::chrono::duration_cast<Clock::duration>(jittered), ended + milliseconds{1});
}

}  // namespace nearhop::health
