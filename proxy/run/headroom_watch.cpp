#include "proxy/run/headroom_watch.h"

#include "proxy/run/logging.h"

#include <algorithm>
#include <cmath>

namespace nearhop::run {
namespace {

std::vector<unsigned> capacities_of(const Snapshot& snapshot) {
    std::vector<unsigned> capacities;
    for (const auto& origin : snapshot.routing->config.origins) capacities.push_back(origin.capacity);
    return capacities;
}

bool has_limits(const std::vector<unsigned>& capacities) {
    return std::any_of(capacities.begin(), capacities.end(), [](unsigned each) { return each != 0; });
}

/// "us-east-1:3,eu-west-1:1"
std::string takes_text(const steering::Loss& loss, const Snapshot& snapshot) {
    std::string text;
    for (const auto& [id, count] : loss.takes)
        text +=
            (text.empty() ? "" : ",") + snapshot.routing->origins[id].name + ':' + std::to_string(std::lround(count));
    return text.empty() ? "-" : text;
}

}  // namespace

void HeadroomWatch::look(const Snapshot& snapshot, health::TimePoint now) {
    const auto capacities = capacities_of(snapshot);
    headroom_.look(*snapshot.routing->table, *snapshot.health, capacities,
                   has_limits(capacities) ? in_flight() : steering::Headroom::Sample{}, now);
    for (const auto& row : headroom_.rows())
        if (row.changed)
            log_event(row.survivable ? LogLevel::info : LogLevel::warning, "headroom",
                      {{"lost_origin", row.origin},
                       {"survivable", row.survivable},
                       {"in_flight", std::lround(row.loss.load)},
                       {"room", std::lround(row.loss.placed)},
                       {"takes", takes_text(row.loss, snapshot)}});
}

std::string HeadroomWatch::overload_by(const OverrideOrder& order, const Snapshot& snapshot) const {
    const auto capacities = capacities_of(snapshot);
    const bool takes_out = order.order == health::Override::drain || order.order == health::Override::force_down;
    if (!takes_out || !has_limits(capacities)) return {};
    const auto& origins = snapshot.routing->origins;
    const auto lost =
        std::find_if(origins.begin(), origins.end(), [&](const auto& origin) { return origin.name == order.origin; });
    const auto loss = headroom_.ask(static_cast<geo::OriginId>(lost - origins.begin()), *snapshot.routing->table,
                                    *snapshot.health, capacities, in_flight());
    if (loss.survivable()) return {};
    return "without " + order.origin + " the other origins would get " + std::to_string(std::lround(loss.load)) +
           " more requests in flight and have room for " + std::to_string(std::lround(loss.placed)) + " (" +
           takes_text(loss, snapshot) + ")";
}

steering::Headroom::Sample HeadroomWatch::in_flight() const {
    steering::Headroom::Sample sample;
    for (const auto& [pair, blocks] : registry_.origins()) {
        std::uint64_t sum = 0;
        for (const auto& block : blocks)
            if (block) sum += block->in_flight.get();
        if (sum != 0) sample[pair] = static_cast<double>(sum);
    }
    return sample;
}

}  // namespace nearhop::run
