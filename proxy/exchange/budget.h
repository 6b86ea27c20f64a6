#pragma once

#include "conf/config.h"
#include "proxy/loop/loop.h"

#include <algorithm>

namespace nearhop::exchange {

/// The retry budget of one site on one worker: a token bucket that holds 10 s of the current request rate times the
/// configured share, never less than the minimum, and starts full. Only an attempt made after request
/// bytes were sent costs a token.
class RetryBudget {
public:
    explicit RetryBudget(const conf::Failover& limits) noexcept { set(limits); }
    /// Other limits hold at once: what it holds more than before is there, and what was spent stays spent.
    void set(const conf::Failover& limits) noexcept {
        const double before = capacity();
        share_ = static_cast<double>(limits.budget_percent) / 100.0;
        minimum_ = static_cast<double>(limits.budget_minimum);
        const double now = capacity();
        tokens_ = std::min(tokens_ + std::max(0.0, now - before), now);
    }

    void on_request(loop::TimePoint now) noexcept {
        // The rate is a count that halves in two windows: cheap, and of the right size after a few seconds.
        if (now - window_ >= window) {
            const bool adjacent = now - window_ < 2 * window;
            previous_ = adjacent ? count_ : 0;
            count_ = 0;
            window_ = now;
        }
        count_ += 1;
        tokens_ = std::min(tokens_ + share_, capacity());
    }
    bool take() noexcept {
        if (tokens_ < 1) return false;
        tokens_ -= 1;
        return true;
    }
    double tokens() const noexcept { return tokens_; }

private:
    static constexpr loop::milliseconds window{10'000};
    double capacity() const noexcept { return std::max(minimum_, std::max(previous_, count_) * share_); }
    double share_ = 0;
    double minimum_ = 0;
    double tokens_ = 0;
    double count_ = 0;
    double previous_ = 0;
    loop::TimePoint window_{};
};

}  // namespace nearhop::exchange
