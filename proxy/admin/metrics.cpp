#include "proxy/admin/metrics.h"

#include "proxy/admin/family.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>

namespace nearhop::admin {

Family::Family(std::string_view name, prometheus::MetricType type, std::string_view help) {
    family_.name = name;
    family_.type = type;
    family_.help = help;
}

namespace {

std::vector<prometheus::ClientMetric::Label> labels_of(Family::Labels labels) {
    std::vector<prometheus::ClientMetric::Label> out;
    for (const auto& [name, value] : labels) out.push_back({std::string{name}, std::string{value}});
    return out;
}

}  // namespace

void Family::add(Labels labels, double value) {
    prometheus::ClientMetric row;
    row.label = labels_of(labels);
    if (family_.type == prometheus::MetricType::Counter)
        row.counter.value = value;
    else
        row.gauge.value = value;
    family_.metric.push_back(std::move(row));
}

void Family::add(Labels labels, const control::PhaseHistogram& histogram) {
    prometheus::ClientMetric row;
    row.label = labels_of(labels);
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < histogram.buckets.size(); ++i) {
        below += histogram.buckets[i];
        const double bound = i < account::Histogram::bounds.size() ? account::Histogram::bounds[i]
                                                                   : std::numeric_limits<double>::infinity();
        row.histogram.bucket.push_back({below, bound});
    }
    // From the buckets, not from a counter beside them: a worker may be between the two.
    row.histogram.sample_count = below;
    row.histogram.sample_sum = histogram.sum;
    family_.metric.push_back(std::move(row));
}

std::vector<prometheus::MetricFamily> metric_families(const shared::Snapshot& snapshot,
                                                      const shared::Registry& registry,
                                                      const control::Control::Status& status) {
    Families out;
    add_traffic(out, snapshot, registry);
    add_sessions(out, registry);
    add_origins(out, registry, status);
    add_edge(out, registry, status);
    add_process(out);
    return out;
}

std::string metrics_text(const shared::Snapshot& snapshot, const shared::Registry& registry,
                         const control::Control::Status& status) {
    return prometheus::TextSerializer{}.Serialize(metric_families(snapshot, registry, status));
}

std::vector<std::string> short_names(const std::vector<std::string>& paths) {
    std::vector<std::string> rooted;
    rooted.reserve(paths.size());
    for (const std::string& path : paths) rooted.push_back(path.starts_with('/') ? path : '/' + path);
    std::vector<std::string> out;
    for (const std::string& path : rooted) {
        std::size_t begin = path.size();
        const auto is_taken = [&] {
            return std::any_of(rooted.begin(), rooted.end(), [&](const std::string& other) {
                return other != path && other.ends_with(std::string_view{path}.substr(begin));
            });
        };
        do begin = path.rfind('/', begin - 1);
        while (begin != 0 && is_taken());
        out.push_back(path.substr(begin + 1));
    }
    return out;
}

}  // namespace nearhop::admin
