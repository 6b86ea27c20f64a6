#pragma once

#include "proxy/steering/standing.h"

/// Step 5 of the decision: all members of the site in the order of its policy, whatever their health.
namespace nearhop::steering {

/// Written to decision.considered and decision.first; `decision.site` is set. Only the latency policy reads
/// standings: its band is around the best origin that can serve.
void order_by_policy(const Case& request, const geo::Place& place, const Standings& standings,
                     Decision& decision) noexcept;

}  // namespace nearhop::steering
