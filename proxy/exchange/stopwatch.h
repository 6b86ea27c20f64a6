#pragma once

#include "proxy/loop/loop.h"

namespace nearhop::exchange {

/// The time for which something was waited for, in several stretches: what a deadline counts.
class Stopwatch {
public:
    void run(loop::TimePoint now) noexcept {
        if (!runs_) since_ = now;
        runs_ = true;
    }
    void stop(loop::TimePoint now) noexcept {
        lap(now);
        runs_ = false;
    }
    /// Ends a stretch and begins the next one; returns how long it was, zero while it stands.
    loop::Clock::duration lap(loop::TimePoint now) noexcept {
        const auto stretch = this->stretch(now);
        total_ += stretch;
        since_ = now;
        return stretch;
    }
    loop::Clock::duration stretch(loop::TimePoint now) const noexcept {
        return runs_ ? now - since_ : loop::Clock::duration::zero();
    }
    loop::Clock::duration total(loop::TimePoint now) const noexcept { return total_ + stretch(now); }
    /// Time that was measured elsewhere.
    Stopwatch& operator+=(loop::Clock::duration time) noexcept {
        total_ += time;
        return *this;
    }

private:
    loop::Clock::duration total_{0};
    loop::TimePoint since_{};
    bool runs_ = false;
};

}  // namespace nearhop::exchange
