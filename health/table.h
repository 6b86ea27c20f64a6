#pragma once

#include "health/failback.h"
#include "health/verdict.h"

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace nearhop::health {

/// What a worker knows about one origin: the combined verdict of its addresses, with ejection and drain.
struct OriginHealth {
    State state;
    double rtt_ms = -1;    ///< mean connect round trip from this edge; negative: not known
    CheckSet failing = 0;  ///< failing checks, by their number in the configuration; decide() knows what they move
    /// If the origin is coming back: clients whose place in the line is below this may use it (see Failback).
    std::uint32_t share = Failback::everyone;
};
static_assert(std::is_trivially_copyable_v<OriginHealth>);

/// Health of all origins as published: built whole, never changed afterwards, indexed by the dense origin number that
/// rankings use.
struct Table {
    std::uint64_t generation = 0;
    std::vector<OriginHealth> origins;
    std::vector<std::int32_t> leaders;  ///< by site, for the policy `latency`: its leader; -1: none

    std::int32_t leader_of(std::size_t site) const noexcept { return site < leaders.size() ? leaders[site] : -1; }
};

}  // namespace nearhop::health
