#pragma once

#include "proxy/steering/decision.h"

/// Step 6 of the decision: the rank that health gives an origin.
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
    never
};

using Ranks = std::array<Rank, geo::max_origins>;  ///< by OriginId; only members of the site are filled

/// Draining is the operator's order, not a guess of the machine: a draining origin gets no new request even if every
/// other one is down. An operator who drains or forces down the last origin of a site means it. An origin's own report
/// comes from software, and all origins may report the same, so it can be overruled.
///
/// A request that needs a failing check avoids the origin like an ejected one; it does not only rank it last, like a
/// degraded one: a write on a read-only database fails, or worse, half succeeds, so that it is no second choice while
/// another origin can do it. It is still the last resort: checks may be wrong, and an answer of the application says
/// more than our 503.
Rank rank_of(OriginId id, const Facts& facts, const Table& table, const health::Table& health,
             const Local& local) noexcept;

/// For an origin that just refused a connection: the worst other rank that health gives it, as rank_of() judges.
Rank without_skip(Rank rank, OriginId id, const Facts& facts, const Table& table, const health::Table& health) noexcept;

/// The worst rank that still makes a candidate, given the best one that is there.
Rank worst_used(Rank best, conf::AllDown all_down) noexcept;

/// The reason of a candidate: health's if health moved it, else a rule's (Rules::narrowed), else the policy's.
/// `any_known`: some allowed origin has a verdict.
Reason chosen_reason(Rank rank, bool any_known, Reason narrowed, Reason policy) noexcept;

/// The reason of an allowed origin that is no candidate although there was room for one.
Reason passed_over(Rank rank, const health::State& state) noexcept;

}  // namespace nearhop::steering
