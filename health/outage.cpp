#include "health/outage.h"

#include <algorithm>

namespace nearhop::health {

Outage::Ended Outage::look(const State& state, bool whole, TimePoint now) noexcept {
    Ended ended;
    const bool in = state.verdict != Verdict::down && !state.ejected;
    const bool by_order = state.order == Override::force_down;
    if (std::exchange(in_, in) && !in && !by_order && state.failing_since != TimePoint{}) {
        ended.detection = std::max(now - state.failing_since, Clock::duration::zero());
        out_since_ = now;
        out_ = true;
    }
    if (out_ && in && whole) {
        out_ = false;
        // Probes may have been good all along, where it was live traffic that failed.
        ended.recovery = now - std::max(out_since_, good_since_);
    }
    return ended;
}

}  // namespace nearhop::health
