#include "proxy/run/watched_files.h"

#include "proxy/run/build.h"
#include "proxy/run/trusted.h"

namespace nearhop::run {

void WatchedFiles::follow(const Snapshot& snapshot, loop::TimePoint now) {
    const auto& config = snapshot.routing->config;
    geo_.follow(config.geo, snapshot.locator->databases());
    next_databases_ = now + config.geo.watch;
    ranges_.follow(snapshot.trusted_ranges ? *snapshot.trusted_ranges : std::vector<TrustedRanges>{});
    next_ranges_ = now + config.clients.watch;
}

bool WatchedFiles::look_at_databases(Snapshot& snapshot, loop::TimePoint now) {
    if (now < next_databases_) return false;
    const auto& geo = snapshot.routing->config.geo;
    next_databases_ = now + geo.watch;
    const auto found = geo_.look();
    databases_seen_.replaced += found.replaced;
    databases_seen_.refused += found.refused;
    if (found.replaced == 0) return false;
    snapshot.locator = build_locator(geo, geo_.in_use());
    return true;
}

bool WatchedFiles::look_at_ranges(Snapshot& snapshot, loop::TimePoint now) {
    if (now < next_ranges_) return false;
    const auto& clients = snapshot.routing->config.clients;
    next_ranges_ = now + clients.watch;
    const auto found = ranges_.look();
    ranges_seen_.replaced += found.replaced;
    ranges_seen_.refused += found.refused;
    if (found.replaced == 0) return false;
    snapshot.trusted_ranges = std::make_shared<const std::vector<TrustedRanges>>(ranges_.in_use());
    snapshot.trust = make_trust(clients, *snapshot.trusted_ranges);
    return true;
}

void WatchedFiles::show(Control::Status& status) const {
    status.databases.clear();
    for (const auto& each : geo_.databases())
        status.databases.push_back({each.database->name(), each.database->type(), each.database->built(),
                                    each.database->errors(), each.failure});
    status.databases_replaced = databases_seen_.replaced;
    status.databases_refused = databases_seen_.refused;
    status.ranges.clear();
    for (const auto& each : ranges_.lists())
        status.ranges.push_back({each.ranges.file, each.ranges.service, each.ranges.networks.size(), each.failure});
    status.ranges_replaced = ranges_seen_.replaced;
    status.ranges_refused = ranges_seen_.refused;
}

}  // namespace nearhop::run
