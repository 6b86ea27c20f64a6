#pragma once

#include "health/verdict.h"

#include <optional>
#include <utility>

namespace nearhop::health {

/// How long an origin's failures went unnoticed, and how long its return took, as this edge saw it. Pure: time comes in
/// as an argument and must not go backwards.
class Outage {
public:
    /// A phase that has just ended.
    struct Ended {
        std::optional<Clock::duration> detection;  ///< the first failure that counted until the origin was out
        std::optional<Clock::duration> recovery;   ///< the first good probe after it was out until all clients are back
    };

    /// Of any address. A failure counts only while the origin is out: one of several addresses may stay dead.
    void on_probe(bool passed, TimePoint now) noexcept {
        if (!passed)
            good_ = good_ && in_;
        else if (!std::exchange(good_, true))
            good_since_ = now;
    }
    /// Call it with every change and regularly. `whole`: nothing keeps any client away from the origin. An origin that
    /// is out from the start, or by order, has no outage.
    Ended look(const State& state, bool whole, TimePoint now) noexcept;
    /// The edge was cut off: what has begun is no outage of the origin.
    void forget() noexcept { out_ = false; }

private:
    bool in_ = false;      ///< when looked at last
    bool forced_ = false;  ///< up, by order, then
    bool out_ = false;
    TimePoint out_since_{};
    bool good_ = false;  ///< a probe was, since it is out
    TimePoint good_since_{};
};

}  // namespace nearhop::health
