#pragma once

#include "proxy/steering/rank.h"
#include "proxy/steering/rules.h"

/// Step 5 of the decision: all members of the site in the order of its policy, whatever their health.
namespace nearhop::steering {

/// Written to decision.considered; `decision.site` is set. Only the latency policy reads ranks: its band is around the
/// best origin that can serve.
void order_by_policy(const SiteTable& site, const Table& table, const geo::Place& place, const Rules& rules,
                     const Ranks& ranks, const health::Table& health, Decision& decision) noexcept;

}  // namespace nearhop::steering
