#pragma once

#include "proxy/admin/counters.h"
#include "proxy/run/status.h"
#include "proxy/snapshot.h"

#include <string>

namespace nearhop::admin {

/// /status: what is known now, as JSON for people and scripts. docs/metrics.md has the figures over time.
std::string status_json(const Snapshot& snapshot, const Registry& registry, const run::Control::Status& status);

}  // namespace nearhop::admin
