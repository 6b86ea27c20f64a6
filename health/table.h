#pragma once

#include "health/verdict.h"

#include <cstdint>
#include <type_traits>
#include <vector>

namespace nearhop::health {

/// What a worker knows of one origin: its addresses' verdicts combined, with ejection and drain beside.
struct OriginHealth {
    State state;
    double rtt_ms = -1;    ///< mean connect round trip from this edge; negative: not known
    CheckSet failing = 0;  ///< checks that fail, by their number in the configuration; what they move is for decide()
};
static_assert(std::is_trivially_copyable_v<OriginHealth>);

/// Health of all origins as published: built whole, never changed afterwards, indexed by the dense origin number that
/// rankings use.
struct Table {
    std::uint64_t generation = 0;
    std::vector<OriginHealth> origins;
};

}  // namespace nearhop::health
