#pragma once

#include "proxy/steering/rules.h"

/// Where each origin stands for one request: how far back rules and health move it, and by what.
namespace nearhop::steering {

/// Up to local_skip an origin is a normal candidate. Worse ones are used only when no normal one but a skipped one is
/// left, and those that are down only when all are.
enum class Rank : std::uint8_t {
    up,
    busy,  ///< up, but near its capacity
    degraded,
    unknown,
    returning,
    full,
    local_skip,
    leaving,
    check_failed,
    ejected,
    aside_and_skipped,
    down,
    never,      ///< by the operator's order
    forbidden,  ///< by the rules
};

/// `reason` is what moves it there: what the decision says of it unless it is a candidate. `surplus`: nothing does, the
/// order of the policy alone decides.
struct Standing {
    Rank rank = Rank::forbidden;
    Reason reason = Reason::surplus;
};

/// What decides of one request.
struct Case {
    const Facts& facts;
    const Table& table;
    const SiteTable& site;
    const Rules& rules;
    const health::Table& health;
    const Local& local;
    const Earlier& earlier;
};

/// Draining is the operator's own word, not a guess of the machine that may be overruled: a draining origin gets no new
/// exchange even when every other one is down. Who drains the last origin of a site wants it left alone; likewise who
/// forces it down. An origin's own word is that of software, and all of them may say the same: it can be overruled.
///
/// A request that needs a failing check stays away like from an ejected origin, not only behind the others as from a
/// degraded one: a write on a read-only database fails, or worse, half succeeds, so that it is no second choice while
/// an origin is there that can do it. It is the last one all the same: checks may be wrong, and an answer of the
/// application says more than a 503 of ours.
Standing standing_of(Position position, const Case& request) noexcept;

/// All of a site, by Position.
class Standings {
public:
    explicit Standings(const Case& request) noexcept;

    const Standing& operator[](Position position) const noexcept { return all_[index_of(position)]; }
    /// The best of those that are there; forbidden: nobody may serve.
    Rank best() const noexcept { return static_cast<Rank>(std::countr_zero(ranks_ | 1u << index(Rank::forbidden))); }
    bool has(Rank rank) const noexcept { return (ranks_ >> index(rank) & 1u) != 0; }

private:
    static unsigned index(Rank rank) noexcept { return static_cast<unsigned>(rank); }
    void level(const Case& request) noexcept;

    std::array<Standing, conf::most_site_origins> all_;  ///< unset beyond the site's origins
    unsigned ranks_ = 0;                                 ///< which there are
};

/// The worst rank that still makes a candidate, given the best one that is there.
Rank worst_used(Rank best, conf::AllDown all_down) noexcept;

/// What is said of a candidate: why it is one although it stands where it does, else `order`.
Reason reason_of_candidate(Reason standing, Reason order) noexcept;

}  // namespace nearhop::steering
