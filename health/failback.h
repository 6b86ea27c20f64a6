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
    unsigned error_percent = 5;  ///< share of failed answers at which the share stops growing
};

/// The return of one origin: a region that comes and goes must not take its clients along each time, and a short fault
/// must not cost minutes. Pure: time is an argument and must not go backwards.
///
/// An origin is settled until it goes out. An outage lasts from then until its probes pass again and its ejection has
/// ended; a further fall before all clients are back is part of the same outage. The hold is as long as the outage,
/// between `hold_min` and `hold`, doubled for each further fall; half of the falls are forgotten in each `half_life`.
/// It counts from the first passed probe. Then the origin's share of clients grows while its answers are good. A failed
/// trial is no fall, because no client had come back. When a process starts, all origins are settled, also those that
/// come up later: no client is waiting to return.
class Failback {
public:
    static constexpr std::uint32_t everyone = 65'536;

    explicit Failback(const FailbackSettings& settings) : settings_{settings} {}
    /// Applies at once, also to an origin that is coming back.
    void set(const FailbackSettings& settings) { settings_ = settings; }

    /// A probe of any address. A failure counts only while the origin is out: one of several addresses may stay dead.
    void on_probe(bool passed, TimePoint now) noexcept;
    /// Call it with every change and regularly, with the origin's state; drains do not count. `answers` and `failures`
    /// of live traffic since the last call. Before the first verdict nothing happens.
    void look(const State& state, std::uint64_t answers, std::uint64_t failures, TimePoint now);
    /// The origin went out because this edge was cut off: that is no fall, and it is settled at once.
    void pardon() noexcept;
    /// The edge learnt nothing for `time` (it was cut off): hold and ramp continue where they were.
    void stand_still(Clock::duration time) noexcept;

    /// Clients whose place in the line, 0 to 65,535, is below this may use the origin.
    std::uint32_t share() const noexcept;
    bool holding() const noexcept { return phase_ == Phase::holding; }
    bool ramping() const noexcept { return phase_ == Phase::ramping; }
    /// Coming back: it gets probes at the transitional interval.
    bool returning() const noexcept { return holding() || ramping(); }
    /// When the hold ends, for people; meaningful while holding().
    TimePoint hold_until() const noexcept { return good_since_ + hold_time(); }
    /// Falls that are not forgotten yet.
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
