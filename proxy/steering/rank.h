#pragma once

#include "proxy/steering/decision.h"

/// Step 6 of the decision: how far back health moves an origin.
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
    never
};

using Ranks = std::array<Rank, geo::max_origins>;  ///< by OriginId; only members of the site are filled

/// Draining is the operator's own word, not a guess of the machine that may be overruled: a draining origin gets no new
/// exchange even when every other one is down. Who drains the last origin of a site wants it left alone; likewise who
/// forces it down. An origin's own word is that of software, and all of them may say the same: it can be overruled.
///
/// A request that needs a failing check stays away like from an ejected origin, not only behind the others as from a
/// degraded one: a write on a read-only database fails, or worse, half succeeds, so that it is no second choice while
/// another origin can do it. It is still the last resort: checks may be wrong, and an answer of the application says
/// more than our 503.
Rank rank_of(OriginId id, const Facts& facts, const Table& table, const health::Table& health,
             const Local& local) noexcept;

/// What keeps an origin aside that just refused a connection as well: the worst of it, as rank_of() judges.
Rank without_skip(Rank rank, OriginId id, const Facts& facts, const Table& table, const health::Table& health) noexcept;

/// The worst rank that still makes a candidate, given the best one that is there.
Rank worst_used(Rank best, conf::AllDown all_down) noexcept;

/// The reason of a candidate: health's where health moved it, else a rule's (Rules::narrowed), else the policy's.
/// `any_known`: some allowed origin has a verdict.
Reason chosen_reason(Rank rank, bool any_known, Reason narrowed, Reason policy) noexcept;

/// Of an allowed origin that is no candidate although there was room for one.
Reason passed_over(Rank rank, const health::State& state) noexcept;

}  // namespace nearhop::steering
