#pragma once

#include "health/verdict.h"

namespace nearhop::health {

/// Intervals between the starts of two probes of one address.
struct Intervals {
    milliseconds steady{5'000};
    milliseconds transitional{1'000};
    milliseconds down{5'000};
    unsigned jitter = 20;  ///< percent, both ways
};

/// Start offset of the first probe, uniform in [0, steady): a fleet must not probe in step. dice in [0, 1).
/// `first_round` probes begin at once instead, because the listener waits for them.
milliseconds first_delay(const Intervals& intervals, double dice) noexcept;

/// When the next probe starts: `began` + interval by state, spread by jitter, but never before `ended`, and without
/// a burst after a stall. At least 1 ms after `ended`. dice in [0, 1).
TimePoint next_probe(const Intervals& intervals, const State& state, TimePoint began, TimePoint ended,
                     double dice) noexcept;

}  // namespace nearhop::health
