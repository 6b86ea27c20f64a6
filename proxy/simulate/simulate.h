#pragma once

#include "proxy/simulate/outcome.h"
#include "proxy/simulate/scenario.h"

namespace nearhop::simulate {

/// Runs a scenario from its first request to its end, on a virtual clock. The same scenario has the same outcome, to
/// the microsecond: no wall clock, no other chance than its seed.
Outcome simulate(const Scenario& scenario);

}  // namespace nearhop::simulate
