#include "health/latency.h"

#include <algorithm>
#include <cmath>

namespace nearhop::health {

namespace {
constexpr std::chrono::duration<double> tau{30};
constexpr std::chrono::seconds expiry{180};
}  // namespace

void Latency::add(double milliseconds_rtt, TimePoint now) noexcept {
    if (!std::isfinite(milliseconds_rtt) || milliseconds_rtt < 0) return;
    if (!mean(now)) {
        mean_ = milliseconds_rtt;
    } else {
        const std::chrono::duration<double> passed = std::max(now - last_, Clock::duration::zero());
        mean_ += (1 - std::exp(-(passed / tau))) * (milliseconds_rtt - mean_);
    }
    last_ = any_ ? std::max(last_, now) : now;
    any_ = true;
}

std::optional<double> Latency::mean(TimePoint now) const noexcept {
    if (!any_ || now - last_ > expiry) return std::nullopt;
    return mean_;
}

}  // namespace nearhop::health
