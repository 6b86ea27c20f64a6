#pragma once

#include "health/failback.h"
#include "health/origin_health.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nearhop::health {

/// What a result says about the network path, whatever it says about the origin or target at its end.
enum class Sign : std::uint8_t {
    none,      ///< neither of the other two is certain
    answered,  ///< something came back; a refusal and a bad certificate count
    silent,    ///< nothing came back, or there was no route
};
Sign sign_of(Reason reason) noexcept;

/// Whether this edge is cut off, rather than its origins gone. Pure: time is an argument.
///
/// Isolation begins when every origin and every control target was silent after the last answer of any of them. One
/// answer ends it. Without targets it never begins. A dead target changes nothing while an origin answers, nor do dead
/// origins while a target answers.
///
/// Calls return true when isolated() changed. Names are the caller's; those that follow() did not name are ignored.
class Isolation {
public:
    /// The origins and targets from now on. Those that stay keep what is known; without targets isolation ends.
    bool follow(const std::vector<std::string>& origins, const std::vector<std::string>& targets, TimePoint now);

    /// An origin or a target answered between these two times (equal if the time is exact). An answer that may have
    /// come before isolation began does not end it.
    bool answered(TimePoint earliest, TimePoint latest);
    bool answered(TimePoint at) { return answered(at, at); }
    /// Found at `at`, whenever the request or probe began.
    bool origin_silent(std::string_view origin, TimePoint at);
    /// A check that began at `began`: if that was before the last answer, it says nothing about the time after it.
    bool target_silent(std::string_view target, TimePoint began, TimePoint at);

    bool is_on() const noexcept { return !targets_.empty(); }
    bool isolated() const noexcept { return isolated_; }
    /// An origin is silent since the last answer: check the targets more often than usual.
    bool suspects() const noexcept;
    /// Whether a failure of what began then is this edge's own, not its origin's.
    bool is_ours(TimePoint began) const noexcept { return isolated_ || (ended_ != TimePoint{} && began <= ended_); }

    TimePoint last_answer() const noexcept { return answered_; }
    TimePoint began() const noexcept { return began_; }  ///< the present or last isolation; TimePoint{}: none yet
    TimePoint ended() const noexcept { return ended_; }  ///< the last one

private:
    bool look(TimePoint now);

    using Times = std::map<std::string, TimePoint, std::less<>>;
    Times origins_;  ///< when each was last silent
    Times targets_;  ///< when each was last silent
    TimePoint answered_{}, began_{}, ended_{};
    bool isolated_ = false;
};

/// A copy of an origin's health from before it began to fail, kept until something answers. If the edge turns out to be
/// cut off, the copy undoes the effect of the failures.
class Before {
public:
    /// Workers report answers up to a second late, so an answer may seem to come after a failure although it came
    /// before. So a failure within this time before the last answer is undone too; a real one fails again.
    static constexpr milliseconds late{2'000};

    /// With each failure, before the monitor learns of it.
    void note(const OriginMonitor& monitor, const Failback& failback, TimePoint last_answer, TimePoint now) {
        if (!kept_ || !is_valid(last_answer)) kept_.emplace(Kept{monitor, failback, now});
    }
    /// True when something published changed.
    bool take_back(OriginMonitor& monitor, Failback& failback, TimePoint last_answer, TimePoint now) {
        if (!kept_ || !is_valid(last_answer)) return false;
        failback = kept_->failback;
        const bool changed = monitor.take_back(kept_->monitor, now);
        kept_.reset();
        return changed;
    }

private:
    struct Kept {
        OriginMonitor monitor;
        Failback failback;
        TimePoint at;
    };
    bool is_valid(TimePoint last_answer) const noexcept { return kept_->at + late > last_answer; }
    std::optional<Kept> kept_;
};

}  // namespace nearhop::health
