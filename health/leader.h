#pragma once

#include "health/verdict.h"

#include <cstdint>
#include <optional>
#include <span>

namespace nearhop::health {

/// max(25 ms, 15 %) above the best: round trips within it count as equal.
constexpr std::int32_t latency_band(std::int32_t best_ms) noexcept {
    return best_ms + (best_ms * 15 / 100 > 25 ? best_ms * 15 / 100 : 25);
}

/// The origin that a site with the policy `latency` prefers. It changes slowly: round trips are noisy, and each change
/// moves every client of this edge. look() runs every `window`. Another origin takes over if the leader was worse than
/// the best by the band in three windows in a row, and not within `hold` of the last change. A leader that cannot serve
/// is replaced at once; when it can serve again, it leads again at once if the other origin is worse by the band:
/// neither change is noise. Pure; one per site, on the control thread.
class Leader {
public:
    static constexpr std::chrono::seconds window{10};
    static constexpr unsigned windows = 3;
    static constexpr std::chrono::seconds hold{60};

    struct Candidate {
        std::uint16_t origin = 0;
        std::int32_t ms = -1;  ///< measured round trip; negative: none
        unsigned weight = 1;
        bool may_serve = true;
    };

    /// `candidates` in the order of the configuration. True if the leader changed.
    bool look(std::span<const Candidate> candidates, TimePoint now) noexcept;
    std::optional<std::uint16_t> origin() const noexcept { return leader_; }
    /// In a new configuration the same origin has this number; none: the origin is gone.
    void renumber(std::optional<std::uint16_t> number) noexcept {
        leader_ = number;
        displaced_.reset();
    }

private:
    std::optional<std::uint16_t> leader_;
    std::optional<std::uint16_t> displaced_;  ///< led before, until it could not serve
    TimePoint changed_{};
    TimePoint next_window_{};
    unsigned worse_ = 0;  ///< windows in a row in which the leader was worse by the band
};

}  // namespace nearhop::health
