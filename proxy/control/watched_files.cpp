#include "proxy/control/watched_files.h"

#include "proxy/setup/build.h"
#include "proxy/setup/memory_limit.h"
#include "proxy/setup/trusted.h"

#include <utility>

namespace nearhop::control {

void WatchedFiles::follow(const shared::Snapshot& snapshot, loop::TimePoint now) {
    ++followed_;
    const auto& config = snapshot.routing->config;
    geo_.follow(config.geo, snapshot.locator->databases(), setup::most_geo_bytes(config.limits));
    next_databases_ = now + config.geo.watch;
    ranges_.follow(snapshot.trusted_ranges ? *snapshot.trusted_ranges : std::vector<shared::TrustedRanges>{});
    next_ranges_ = now + config.clients.watch;
}

loop::Task<bool> WatchedFiles::look_at_databases(shared::Snapshot& snapshot, loop::Background& files,
                                                 loop::TimePoint now) {
    if (now < next_databases_) co_return false;
    next_databases_ = now + snapshot.routing->config.geo.watch;
    const auto followed = followed_;
    auto look = [watch = geo_]() mutable {
        const auto found = watch.look();
        return std::pair{std::move(watch), found};
    };
    auto [watch, found] = co_await files.run(std::move(look));
    if (followed != followed_) co_return false;
    geo_ = std::move(watch);
    databases_seen_.replaced += found.replaced;
    databases_seen_.refused += found.refused;
    if (found.replaced == 0) co_return false;
    snapshot.locator = setup::build_locator(snapshot.routing->config.geo, geo_.in_use());
    co_return true;
}

loop::Task<bool> WatchedFiles::look_at_ranges(shared::Snapshot& snapshot, loop::Background& files,
                                              loop::TimePoint now) {
    if (now < next_ranges_) co_return false;
    next_ranges_ = now + snapshot.routing->config.clients.watch;
    const auto followed = followed_;
    struct Looked {
        RangesWatch watch;
        RangesWatch::Result found;
        std::shared_ptr<const std::vector<shared::TrustedRanges>> ranges;
        std::shared_ptr<const steering::Trust> trust;
    };
    auto look = [watch = ranges_, routing = snapshot.routing]() mutable {
        Looked looked{.watch = std::move(watch), .found = {}, .ranges = {}, .trust = {}};
        looked.found = looked.watch.look();
        if (looked.found.replaced == 0) return looked;
        looked.ranges = std::make_shared<const std::vector<shared::TrustedRanges>>(looked.watch.in_use());
        looked.trust = setup::make_trust(routing->config.clients, *looked.ranges);
        return looked;
    };
    auto looked = co_await files.run(std::move(look));
    if (followed != followed_) co_return false;
    ranges_ = std::move(looked.watch);
    ranges_seen_.replaced += looked.found.replaced;
    ranges_seen_.refused += looked.found.refused;
    if (looked.found.replaced == 0) co_return false;
    snapshot.trusted_ranges = std::move(looked.ranges);
    snapshot.trust = std::move(looked.trust);
    co_return true;
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

}  // namespace nearhop::control
