#include "health/settings.h"

namespace nearhop::health {

Thresholds thresholds_of(const conf::Probe& probe, const conf::Passive& passive) {
    Thresholds thresholds;
    thresholds.fall = probe.fall;
    thresholds.rise = probe.rise;
    thresholds.connect_failures = passive.connect_failures;
    thresholds.status_failures = passive.status_failures;
    thresholds.ratio_percent = passive.ratio_percent;
    thresholds.ratio_minimum = passive.ratio_minimum;
    thresholds.ratio_window = passive.ratio_window;
    thresholds.ejection = passive.ejection;
    thresholds.ejection_max = passive.ejection_max;
    thresholds.passive = passive.enabled;
    return thresholds;
}

FailbackSettings settings_of(const conf::Failback& failback) {
    return {failback.hold_min, failback.hold,      failback.ramp,
            failback.hold_max, failback.half_life, failback.error_percent};
}

}  // namespace nearhop::health
