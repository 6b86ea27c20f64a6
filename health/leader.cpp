#include "health/leader.h"

namespace nearhop::health {

bool Leader::look(std::span<const Candidate> candidates, TimePoint now) noexcept {
    const Candidate* best = nullptr;
    const Candidate* present = nullptr;
    const Candidate* displaced = nullptr;
    for (const auto& each : candidates) {
        if (!each.may_serve || each.ms < 0) continue;
        if (!best || each.ms < best->ms) best = &each;
        if (leader_ && each.origin == *leader_) present = &each;
        if (displaced_ && each.origin == *displaced_) displaced = &each;
    }
    const auto before = leader_;
    if (!present && leader_ && !displaced_) displaced_ = leader_;
    if (!best) {
        leader_.reset();
        return before != leader_;
    }
    // Of those as good as the best: by weight, then as configured.
    const Candidate* first = nullptr;
    for (const auto& each : candidates) {
        if (!each.may_serve || each.ms < 0 || each.ms > latency_band(best->ms)) continue;
        if (!first || each.weight > first->weight) first = &each;
    }
    const auto take = [&](const Candidate& next) {
        leader_ = next.origin;
        changed_ = now;
        next_window_ = now + window;
        worse_ = 0;
    };
    const bool returns = displaced && (!present || present->ms > latency_band(displaced->ms));
    if (returns) displaced_.reset();
    if (!present || returns) {
        take(returns ? *displaced : *first);
        return before != leader_;
    }
    if (now < next_window_) return false;
    next_window_ = now + window;
    worse_ = present->ms > latency_band(best->ms) ? worse_ + 1 : 0;
    if (worse_ >= windows && now - changed_ >= hold) {
        take(*first);
        displaced_.reset();
    }
    return before != leader_;
}

}  // namespace nearhop::health
