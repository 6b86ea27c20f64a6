#include "health/failback.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace nearhop::health {

namespace {
constexpr std::uint64_t fewest_answers = 5;  // a share of fewer says nothing
}

void Failback::on_probe(bool passed, TimePoint now) noexcept {
    if (!passed)
        good_ = good_ && phase_ != Phase::out;
    else if (!std::exchange(good_, true))
        good_since_ = now;
}

void Failback::look(const State& state, std::uint64_t answers, std::uint64_t failures, TimePoint now) {
    const auto passed = std::max(now - std::exchange(looked_at_, now), Clock::duration::zero());
    const bool in = state.verdict != Verdict::down && !state.ejected;
    if (!in) {
        // To be out at the start is no fall, and there is nothing to come back to.
        if (served_ && phase_ != Phase::out) fall(state, now);
        return;
    }
    if (phase_ == Phase::out) come_back(state, now);
    served_ = true;
    on_trial_ = state.on_trial;
    if (phase_ == Phase::ramping) {
        const bool good = answers < fewest_answers || failures * 100 < answers * settings_.error_percent;
        if (good) grown_ += passed;
    }
    if (phase_ == Phase::holding && now >= hold_until()) {
        phase_ = Phase::ramping;
        grown_ = now - std::max(hold_until(), back_at_);
    }
    if (phase_ == Phase::ramping && grown_ >= ramp_time()) phase_ = Phase::settled;
}

void Failback::fall(const State& state, TimePoint now) noexcept {
    const bool failed_trial = on_trial_ && state.ejected;
    if (!failed_trial) {
        penalty_ = penalty(now) + 1;
        penalty_at_ = now;
    }
    if (phase_ == Phase::settled) out_since_ = now;
    phase_ = Phase::out;
    good_ = false;
}

void Failback::come_back(const State& state, TimePoint now) noexcept {
    if (!good_) good_since_ = now;  // no probe brought it back
    const auto over = std::max(good_since_, std::min(state.ejected_until, now));
    outage_ = std::max(over - out_since_, Clock::duration::zero());
    weight_ = std::exp2(std::max(0.0, penalty(now) - 1));
    back_at_ = now;
    phase_ = Phase::holding;
    grown_ = {};
}

Clock::duration Failback::hold_time() const noexcept {
    const Milliseconds most = std::max(settings_.hold, settings_.hold_max);
    const auto once = std::clamp<Milliseconds>(outage_, least(), std::max<Milliseconds>(least(), settings_.hold));
    return std::chrono::duration_cast<Clock::duration>(std::min(once * weight_, most));
}

Clock::duration Failback::ramp_time() const noexcept {
    const auto half = std::max<Milliseconds>(outage_, least()) * weight_ / 2;
    return std::chrono::duration_cast<Clock::duration>(std::min<Milliseconds>(half, settings_.ramp));
}

void Failback::pardon() noexcept {
    phase_ = Phase::settled;
    penalty_ = 0;
}

void Failback::stand_still(Clock::duration time) noexcept {
    for (TimePoint* each : {&good_since_, &out_since_, &back_at_, &looked_at_}) *each += time;
}

std::uint32_t Failback::share() const noexcept {
    switch (phase_) {
        case Phase::settled:
        case Phase::out: return everyone;  // its verdict keeps it out; `all_down` serves everyone
        case Phase::holding: return 0;
        case Phase::ramping: break;
    }
    const auto ramp = ramp_time();
    if (grown_ >= ramp) return everyone;
    const double part = std::chrono::duration<double>{grown_} / std::chrono::duration<double>{ramp};
    return static_cast<std::uint32_t>(std::clamp(part, 0.0, 1.0) * everyone);
}

double Failback::penalty(TimePoint now) const noexcept {
    if (penalty_ == 0) return 0;
    const std::chrono::duration<double> since = std::max(now - penalty_at_, Clock::duration::zero());
    const std::chrono::duration<double> half{std::max(settings_.half_life, milliseconds{1})};
    return penalty_ * std::exp2(-(since / half));
}

}  // namespace nearhop::health
