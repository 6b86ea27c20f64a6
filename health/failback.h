#pragma once

#include "health/verdict.h"

#include <cstdint>

namespace nearhop::health {

/// How an origin that was out comes back; from configuration.
struct FailbackSettings {
    milliseconds hold{120'000};      ///< at first nobody is sent back
    milliseconds ramp{60'000};       ///< then a share of the clients that grows to all of them
    milliseconds hold_max{600'000};  ///< for one that keeps falling
    milliseconds half_life{300'000};
    unsigned error_percent = 5;  ///< the share does not grow while so many of its answers are failures
};

/// The way back of one origin, so that a region that comes and goes does not take its clients along each time. Pure:
/// time comes in as an argument and must not go backwards.
///
/// Settled until it was in and goes out. Coming back it waits `hold`, times a penalty: each fall adds one to it, and
/// half of it is forgotten in each `half_life`. Then its share of clients grows with the time in which its answers were
/// good. A process that starts finds its origins settled, also those that come up after it: there is nothing to come
/// back to.
class Failback {
public:
    static constexpr std::uint32_t everyone = 65'536;

    explicit Failback(const FailbackSettings& settings) : settings_{settings} {}
    void set(const FailbackSettings& settings) { settings_ = settings; }

    /// Called with every change, and now and then: `in` when the origin may serve by its verdict, apart from drains.
    /// `answers` and `failures` of live traffic since the last call. Before the first verdict there is nothing to tell.
    void look(bool in, std::uint64_t answers, std::uint64_t failures, TimePoint now);
    /// What went out for a reason of ours (this edge was cut off) did not fall: settled at once.
    void pardon() noexcept;
    /// For so long nothing was learnt (the same reason): what waits or grows goes on where it stood.
    void stand_still(Clock::duration time) noexcept {
        hold_until_ += time;
        looked_at_ += time;
    }

    /// Clients whose place in the line, 0 to 65,535, is below this may be sent to it.
    std::uint32_t share() const noexcept;
    bool holding() const noexcept { return phase_ == Phase::holding; }
    bool ramping() const noexcept { return phase_ == Phase::ramping; }
    /// When the hold ends, for people; meaningful while holding().
    TimePoint hold_until() const noexcept { return hold_until_; }
    double penalty(TimePoint now) const noexcept;

private:
    enum class Phase : std::uint8_t { settled, out, holding, ramping };

    FailbackSettings settings_;
    Phase phase_ = Phase::settled;
    bool served_ = false;  ///< it was in before
    double penalty_ = 0;
    TimePoint penalty_at_{};
    TimePoint hold_until_{};
    TimePoint looked_at_{};
    Clock::duration grown_{};  ///< of the ramp
};

}  // namespace nearhop::health
