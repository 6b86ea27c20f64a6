#include "health/leader.h"

namespace nearhop::health {

bool Leader::look(std::span<const Candidate> candidates, TimePoint now) noexcept {
    const Candidate* best = nullptr;
    const Candidate* present = nullptr;
    for (const auto& each : candidates) {
        if (!each.may_serve || each.ms < 0) continue;
        if (!best || each.ms < best->ms) best = &each;
        if (leader_ && each.origin == *leader_) present = &each;
    }
    const auto before = leader_;
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
    const auto take = [&] {
        leader_ = first->origin;
        changed_ = now;
        next_window_ = now + window;
        worse_ = 0;
    };
    if (!present) {
        take();
        return before != leader_;
    }
    if (now < next_window_) return false;
    next_window_ = now + window;
    worse_ = present->ms > latency_band(best->ms) ? worse_ + 1 : 0;
    if (worse_ >= windows && now - changed_ >= hold) take();
    return before != leader_;
}

}  // namespace nearhop::health
