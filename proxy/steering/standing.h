#pragma once

#include "proxy/steering/rules.h"

/// The standing of each origin for one request: how far back rules and health move it, and why.
namespace nearhop::steering {

/// Up to local_skip an origin is a normal candidate. Worse ones serve only if no normal one but a skipped one is left,
/// and origins that are down only if all are.
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

/// Draining is the operator's order, not a guess of the machine: a draining origin gets no new request even if every
/// other one is down. An operator who drains or forces down the last origin of a site means it. An origin's own report
/// comes from software, and all origins may report the same, so it can be overruled.
///
/// A request that needs a failing check avoids the origin like an ejected one; it does not only rank it last, like a
/// degraded one: a write on a read-only database fails, or worse, half succeeds, so that it is no second choice while
/// another origin can do it. It is still the last resort: checks may be wrong, and an answer of the application says
/// more than our 503.
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

/// What is said of a candidate: why it is one in spite of its standing, else `order`.
Reason reason_of_candidate(Reason standing, Reason order) noexcept;

}  // namespace nearhop::steering
