#pragma once

#include "proxy/steering/decision.h"

/// Step 4 of the decision: the origins that may serve this request. A forbidden origin never serves it, whatever fails.
namespace nearhop::steering {

struct Rules {
    OriginSet by_route;
    OriginSet by_write;
    OriginSet by_country;
    OriginSet allowed;                  ///< by all three
    const CountryOrder* row = nullptr;  ///< the `country` policy's row for the place, or `unlocated`; null: none
    Reason narrowed = Reason::surplus;  ///< writer or pinned, if such a rule removed origins; surplus: none did
};

/// The row that applies to clients of this place; null: none.
const CountryOrder* row_for(const SiteTable& site, const geo::Place& place) noexcept;

Rules rules_for(const SiteTable& site, const RouteTable& route, const Facts& facts, const geo::Place& place) noexcept;

/// The reason of a forbidden origin.
Reason forbidden(const Rules& rules, Position position) noexcept;

}  // namespace nearhop::steering
