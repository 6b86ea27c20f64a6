#include "health/failback.h"

#include <algorithm>
#include <cmath>

namespace nearhop::health {

namespace {
constexpr std::uint64_t fewest_answers = 5;  // a share of fewer says nothing
}

void Failback::look(bool in, std::uint64_t answers, std::uint64_t failures, TimePoint now) {
    const auto passed = std::max(now - looked_at_, Clock::duration::zero());
    looked_at_ = now;
    if (!in) {
        if (!served_) return;  // to be out at the start is no fall, and there is nothing to come back to
        if (phase_ != Phase::out) {
            penalty_ = penalty(now) + 1;
            penalty_at_ = now;
        }
        phase_ = Phase::out;
        return;
    }
    if (phase_ == Phase::out) {
        const auto hold = std::chrono::duration<double, std::milli>{settings_.hold} * std::max(1.0, penalty(now));
        const auto bounded = std::min(std::chrono::duration_cast<Clock::duration>(hold),
                                      Clock::duration{std::max(settings_.hold, settings_.hold_max)});
        phase_ = Phase::holding;
        hold_until_ = now + bounded;
        grown_ = {};
    }
    served_ = true;
    if (phase_ == Phase::ramping) {
        const bool good = answers < fewest_answers || failures * 100 < answers * settings_.error_percent;
        if (good) grown_ += passed;
    }
    if (phase_ == Phase::holding && now >= hold_until_) {
        phase_ = Phase::ramping;
        grown_ = now - hold_until_;
    }
    if (phase_ == Phase::ramping && grown_ >= settings_.ramp) phase_ = Phase::settled;
}

void Failback::pardon() noexcept {
    phase_ = Phase::settled;
    penalty_ = 0;
}

std::uint32_t Failback::share() const noexcept {
    switch (phase_) {
        case Phase::settled:
        case Phase::out: return everyone;  // its verdict keeps it out; all_down and the like are for everyone
        case Phase::holding: return 0;
        case Phase::ramping: break;
    }
    const double part = std::chrono::duration<double>{grown_} / std::chrono::duration<double>{settings_.ramp};
    return static_cast<std::uint32_t>(std::clamp(part, 0.0, 1.0) * everyone);
}

double Failback::penalty(TimePoint now) const noexcept {
    if (penalty_ == 0) return 0;
    const std::chrono::duration<double> since = std::max(now - penalty_at_, Clock::duration::zero());
    const std::chrono::duration<double> half{std::max(settings_.half_life, milliseconds{1})};
    return penalty_ * std::exp2(-(since / half));
}

}  // namespace nearhop::health
