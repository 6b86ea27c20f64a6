#pragma once

#include "health/verdict.h"

#include <cstdint>

namespace nearhop::health {

/// How an origin that was out comes back; from configuration.
struct FailbackSettings {
    milliseconds hold_min{5'000};  ///< the shortest hold
    milliseconds hold{120'000};    ///< the hold is as long as the outage, at most this
    milliseconds ramp{60'000};     ///< then a share that grows to all clients; half as long as the outage, at most this
    milliseconds hold_max{600'000};  ///< for an origin that keeps failing
    milliseconds half_life{300'000};
    unsigned error_percent = 5;  ///< the share does not grow while so many of its answers are failures
};

/// The way back of one origin, so that a region that comes and goes does not take its clients along each time, and a
/// moment's trouble does not cost minutes. Pure: time comes in as an argument and must not go backwards.
///
/// Settled until it was in and goes out. An outage lasts from then until probes are good again and its ejection's time
/// is over; a fall before all clients are back belongs to the same one. The hold is as long as the outage, within
/// `hold_min` and `hold`, and doubled for each further fall; half of the falls are forgotten in each `half_life`. It
/// counts from the first of the good probes. Then its share of clients grows with the time in which its answers were
/// good. A trial that fails is no fall: nothing had come back. A process that starts finds its origins settled, also
/// those that come up after it: there is nothing to come back to.
class Failback {
public:
    static constexpr std::uint32_t everyone = 65'536;

    explicit Failback(const FailbackSettings& settings) : settings_{settings} {}
    /// Holds at once, also for an origin that is on its way back.
    void set(const FailbackSettings& settings) { settings_ = settings; }

    /// Of any address. A failure counts only while the origin is out: one of several addresses may stay dead.
    void on_probe(bool passed, TimePoint now) noexcept;
    /// Called with every change, and now and then, with the origin's state, in which drains do not count. `answers` and
    /// `failures` of live traffic since the last call. Before the first verdict there is nothing to tell.
    void look(const State& state, std::uint64_t answers, std::uint64_t failures, TimePoint now);
    /// What went out for a reason of ours (this edge was cut off) did not fall: settled at once.
    void pardon() noexcept;
    /// The edge learnt nothing for `time` (it was cut off): hold and ramp continue where they were.
    void stand_still(Clock::duration time) noexcept;

    /// Clients whose place in the line, 0 to 65,535, is below this may be sent to it.
    std::uint32_t share() const noexcept;
    bool holding() const noexcept { return phase_ == Phase::holding; }
    bool ramping() const noexcept { return phase_ == Phase::ramping; }
    /// On its way back, which a fault may end: it is probed like one whose verdict is changing.
    bool returning() const noexcept { return holding() || ramping(); }
    /// When the hold ends, for people; meaningful while holding().
    TimePoint hold_until() const noexcept { return good_since_ + hold_time(); }
    /// Falls that are not forgotten.
    double penalty(TimePoint now) const noexcept;

private:
    enum class Phase : std::uint8_t { settled, out, holding, ramping };
    using Milliseconds = std::chrono::duration<double, std::milli>;

    void fall(const State& state, TimePoint now) noexcept;
    void come_back(const State& state, TimePoint now) noexcept;
    Milliseconds least() const noexcept { return std::min(settings_.hold_min, settings_.hold); }
    Clock::duration hold_time() const noexcept;
    Clock::duration ramp_time() const noexcept;

    FailbackSettings settings_;
    Phase phase_ = Phase::settled;
    bool served_ = false;    ///< it was in before
    bool on_trial_ = false;  ///< when looked at last
    double penalty_ = 0;
    TimePoint penalty_at_{};
    bool good_ = false;  ///< a probe was, since it is out
    TimePoint good_since_{};
    TimePoint out_since_{};
    TimePoint back_at_{};  ///< out no more
    Clock::duration outage_{};
    double weight_ = 1;  ///< of the falls, as it was then
    TimePoint looked_at_{};
    Clock::duration grown_{};  ///< of the ramp
};

}  // namespace nearhop::health
