#pragma once

#include "conf/config.h"
#include "health/failback.h"
#include "health/verdict.h"

namespace nearhop::health {

/// What the configuration's blocks `health`, `passive` and `failback` mean for the machines of this folder.
Thresholds thresholds_of(const conf::Probe& probe, const conf::Passive& passive);
FailbackSettings settings_of(const conf::Failback& failback);

}  // namespace nearhop::health
