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

/// Whether this edge is cut off, rather than its origins gone. Pure: time comes in as an argument.
///
/// It begins when nobody has answered since every origin was last found silent and every control target was asked in
/// vain: all of that after the last answer of anybody. One answer ends it. Without targets it never begins. A target
/// that is gone by itself changes nothing while an origin answers, and origins that are gone nothing while a target
/// does.
///
/// Calls answer true when isolated() changed. Names are the caller's; those that follow() did not name are ignored.
class Isolation {
public:
    /// Who is watched from now on. What is known of those that stay is kept; without targets isolation ends.
    bool follow(const std::vector<std::string>& origins, const std::vector<std::string>& targets, TimePoint now);

    /// An origin or a target answered between these two moments: the one where that is all that is known. An answer
    /// that may have come before isolation began does not end it.
    bool answered(TimePoint earliest, TimePoint latest);
    bool answered(TimePoint at) { return answered(at, at); }
    /// Found out at `at`, whenever it was asked.
    bool origin_silent(std::string_view origin, TimePoint at);
    /// Asked at `began`: one that began before the last answer says nothing of what came after.
    bool target_silent(std::string_view target, TimePoint began, TimePoint at);

    bool is_on() const noexcept { return !targets_.empty(); }
    bool isolated() const noexcept { return isolated_; }
    /// An origin is silent since the last answer: worth to ask the targets, more often than usual.
    bool suspects() const noexcept;
    /// Whether a failure of what was begun then is this edge's own, not its origin's.
    bool is_ours(TimePoint began) const noexcept { return isolated_ || (ended_ != TimePoint{} && began <= ended_); }

    TimePoint last_answer() const noexcept { return answered_; }
    TimePoint began() const noexcept { return began_; }  ///< the present or last isolation; TimePoint{}: none yet
    TimePoint ended() const noexcept { return ended_; }  ///< the last one

private:
    bool look(TimePoint now);

    using Times = std::map<std::string, TimePoint, std::less<>>;
    Times origins_;  ///< when each was last found silent
    Times targets_;  ///< when each was last asked in vain
    TimePoint answered_{}, began_{}, ended_{};
    bool isolated_ = false;
};

/// What an origin was before it began to fail, kept until somebody answers: should it turn out that the edge is cut
/// off, what the failures did is taken back.
class Before {
public:
    /// Answers of live traffic are heard of up to a second late, so one may seem to have come after a failure that it
    /// did not. What failed so shortly before the last answer is taken back as well: if it was real it will fail again.
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
