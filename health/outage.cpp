#include "health/outage.h"

#include <algorithm>

namespace nearhop::health {

Outage::Ended Outage::look(const State& state, bool whole, TimePoint now) noexcept {
    Ended ended;
    const bool in = state.verdict != Verdict::down && !state.ejected;
    const bool forced = state.order == Override::force_up;
    // An order hides what goes on below it: when that began is not known, or not the edge's to tell.
    const bool by_order = state.order == Override::force_down || forced || forced_;
    forced_ = forced;
    if (std::exchange(in_, in) && !in && !by_order && state.failing_since != TimePoint{}) {
        ended.detection = std::max(now - state.failing_since, Clock::duration::zero());
        out_since_ = now;
        out_ = true;
        good_ = false;
    }
    if (out_ && in && whole) {
        out_ = false;
        // Probes may have been good all along, where it was live traffic that failed.
        ended.recovery = now - (good_ ? good_since_ : out_since_);
    }
    return ended;
}

}  // namespace nearhop::health
