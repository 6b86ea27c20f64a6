#include "proxy/control/headroom_watch.h"

#include "proxy/account/logging.h"

#include <algorithm>
#include <cmath>

namespace nearhop::control {
namespace {

std::vector<unsigned> capacities_of(const shared::Snapshot& snapshot) {
    std::vector<unsigned> capacities;
    for (const auto& origin : snapshot.routing->config.origins) capacities.push_back(origin.capacity);
    return capacities;
}

bool has_limits(const std::vector<unsigned>& capacities) {
    return std::any_of(capacities.begin(), capacities.end(), [](unsigned each) { return each != 0; });
}

/// "us-east-1:3,eu-west-1:1"
std::string takes_text(const steering::Loss& loss, const shared::Snapshot& snapshot) {
    std::string text;
    for (const auto& [id, count] : loss.takes)
        text +=
            (text.empty() ? "" : ",") + snapshot.routing->origins[id].name + ':' + std::to_string(std::lround(count));
    return text.empty() ? "-" : text;
}

/// What is counted together is judged as the first of those sites that have the origin.
std::string one_of_others(
    const std::string& origin, const steering::Table& table,
    const shared::Registry::Rows<std::pair<std::string, std::string>, account::OriginCounters>& rows) {
    for (const auto& site : table.sites)
        for (const auto id : site.origins)
            if (table.origins[id].name == origin && !rows.contains({site.name, origin})) return site.name;
    return std::string{shared::other_sites};
}

}  // namespace

void HeadroomWatch::look(const shared::Snapshot& snapshot, health::TimePoint now) {
    const auto capacities = capacities_of(snapshot);
    headroom_.look(*snapshot.routing->table, *snapshot.health, capacities,
                   has_limits(capacities) ? in_flight(*snapshot.routing->table) : steering::Headroom::Sample{}, now);
    for (const auto& row : headroom_.rows())
        if (row.changed)
            account::log_event(row.survivable ? account::LogLevel::info : account::LogLevel::warning, "headroom",
                               {{"lost_origin", row.origin},
                                {"survivable", row.survivable},
                                {"in_flight", std::lround(row.loss.load)},
                                {"room", std::lround(row.loss.placed)},
                                {"takes", takes_text(row.loss, snapshot)}});
}

std::string HeadroomWatch::overload_by(const OverrideOrder& order, const shared::Snapshot& snapshot) const {
    const auto capacities = capacities_of(snapshot);
    const bool takes_out = order.order == health::Override::drain || order.order == health::Override::force_down;
    if (!takes_out || !has_limits(capacities)) return {};
    const auto& origins = snapshot.routing->origins;
    const auto lost =
        std::find_if(origins.begin(), origins.end(), [&](const auto& origin) { return origin.name == order.origin; });
    const auto loss = headroom_.ask(static_cast<geo::OriginId>(lost - origins.begin()), *snapshot.routing->table,
                                    *snapshot.health, capacities, in_flight(*snapshot.routing->table));
    if (loss.survivable()) return {};
    return "without " + order.origin + " the other origins would get " + std::to_string(std::lround(loss.load)) +
           " more requests in flight and have room for " + std::to_string(std::lround(loss.placed)) + " (" +
           takes_text(loss, snapshot) + ")";
}

steering::Headroom::Sample HeadroomWatch::in_flight(const steering::Table& table) const {
    steering::Headroom::Sample sample;
    const auto rows = registry_.origins();
    for (const auto& [pair, blocks] : rows) {
        std::uint64_t sum = 0;
        for (const auto& block : blocks)
            if (block) sum += block->in_flight.get();
        if (sum == 0) continue;
        auto key = pair;
        if (pair.first == shared::other_sites) key.first = one_of_others(pair.second, table, rows);
        sample[key] += static_cast<double>(sum);
    }
    return sample;
}

}  // namespace nearhop::control
