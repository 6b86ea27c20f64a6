#pragma once

#include "proxy/control/status.h"
#include "proxy/shared/registry.h"

#include <prometheus/metric_family.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nearhop::admin {

/// One metric family while it is filled. `family.add({{"origin", name}}, 3)`.
class Family {
public:
    using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

    Family(std::string_view name, prometheus::MetricType type, std::string_view help);

    void add(Labels labels, double value);
    void add(Labels labels, std::uint64_t value) { add(labels, static_cast<double>(value)); }
    /// Leaves out a row that never counted.
    void add_unless_zero(Labels labels, std::uint64_t value) {
        if (value != 0) add(labels, value);
    }
    /// A histogram as admin::Histogram and run::PhaseHistogram hold it.
    void add(Labels labels, const control::PhaseHistogram& histogram);

    prometheus::MetricFamily take() { return std::move(family_); }

private:
    prometheus::MetricFamily family_;
};

inline Family counter(std::string_view name, std::string_view help) {
    return {name, prometheus::MetricType::Counter, help};
}
inline Family gauge(std::string_view name, std::string_view help) {
    return {name, prometheus::MetricType::Gauge, help};
}
inline Family histogram(std::string_view name, std::string_view help) {
    return {name, prometheus::MetricType::Histogram, help};
}

using Families = std::vector<prometheus::MetricFamily>;
template <class... Each>
void take_all(Families& out, Each&... families) {
    (out.push_back(families.take()), ...);
}

// The groups, in the order of docs/metrics.md; one file each.
void add_traffic(Families& out, const shared::Snapshot& snapshot, const shared::Registry& registry);
void add_sessions(Families& out, const shared::Registry& registry);
void add_origins(Families& out, const shared::Registry& registry, const control::Control::Status& status);
void add_edge(Families& out, const shared::Registry& registry, const control::Control::Status& status);
void add_process(Families& out);

}  // namespace nearhop::admin
