#pragma once

#include "health/verdict.h"

#include <optional>

namespace nearhop::health {

/// Exponentially weighted mean of connect round trips, tau 30 s: first sample raw, settling independent of how often
/// samples come, forgotten 180 s after the last one.
class Latency {
public:
    void add(double milliseconds_rtt, TimePoint now) noexcept;
    /// Mean in milliseconds; nullopt when nothing was measured or the samples have expired.
    std::optional<double> mean(TimePoint now) const noexcept;

private:
    double mean_ = 0;
    TimePoint last_{};
    bool any_ = false;
};

}  // namespace nearhop::health
