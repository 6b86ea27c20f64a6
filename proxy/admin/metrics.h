#pragma once

#include "proxy/control/status.h"
#include "proxy/shared/registry.h"
#include "proxy/shared/snapshot.h"

#include <string>
#include <vector>

namespace prometheus {
struct MetricFamily;
}

namespace nearhop::admin {

/// Every family of docs/metrics.md, in its order; a test compares the two. Labels come from closed sets: names of the
/// configuration, verdicts, reasons, fault codes.
std::vector<prometheus::MetricFamily> metric_families(const shared::Snapshot& snapshot,
                                                      const shared::Registry& registry,
                                                      const control::Control::Status& status);
/// The same in Prometheus' text format.
std::string metrics_text(const shared::Snapshot& snapshot, const shared::Registry& registry,
                         const control::Control::Status& status);

/// File names as labels: the last parts of each path, as few as tell them apart.
std::vector<std::string> short_names(const std::vector<std::string>& paths);

}  // namespace nearhop::admin
