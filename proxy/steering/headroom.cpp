#include "proxy/steering/headroom.h"

#include "proxy/steering/decision.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace nearhop::steering {
namespace {

bool takes_requests(OriginId id, const health::Table& health) noexcept {
    if (id >= health.origins.size()) return true;
    const auto& state = health.origins[id].state;
    return state.eligible() && !state.ordered_out();
}

/// The other origins in the order in which a client at the lost one's place is offered them.
void order_without(OriginId lost, SiteId site, const Table& table, const health::Table& health, Decision& decision) {
    const auto& point = table.origins[lost].point;
    const auto place = point ? geo::place_of(*point, std::nullopt, geo::Source::none) : geo::Place{};
    decide({.site = site, .method = "GET", .path = "/"}, place, table, health, Local{}, Earlier{}, decision);
}

bool has_limits(std::span<const unsigned> capacities) noexcept {
    return std::any_of(capacities.begin(), capacities.end(), [](unsigned capacity) { return capacity != 0; });
}

}  // namespace

Loss lose(OriginId lost, const Table& table, const health::Table& health, std::span<const unsigned> capacities,
          const Loads& loads) {
    const auto gone = [&](OriginId id) { return id == lost || !takes_requests(id, health); };
    std::vector<double> room(table.origins.size());
    for (std::size_t id = 0; id < table.origins.size(); ++id) {
        room[id] = capacities[id] == 0 ? std::numeric_limits<double>::infinity() : capacities[id];
        for (const auto& site : loads) room[id] -= site[id];
        room[id] = gone(static_cast<OriginId>(id)) ? 0 : std::max(0.0, room[id]);
    }
    Loss loss;
    Decision decision;
    for (std::size_t site = 0; site < loads.size(); ++site) {
        for (std::size_t from = 0; from < table.origins.size(); ++from) {
            double left = loads[site][from];
            if (left <= 0 || !gone(static_cast<OriginId>(from))) continue;
            loss.load += left;
            order_without(static_cast<OriginId>(from), static_cast<SiteId>(site), table, health, decision);
            for (const Considered& next : decision.all()) {
                const double taken = is_forbidden(next.reason) ? 0 : std::min(left, room[next.id]);
                if (taken <= 0) continue;
                room[next.id] -= taken;
                left -= taken;
                loss.placed += taken;
                const auto known = std::find_if(loss.takes.begin(), loss.takes.end(),
                                                [&](const auto& each) { return each.first == next.id; });
                if (known == loss.takes.end())
                    loss.takes.emplace_back(next.id, taken);
                else
                    known->second += taken;
            }
        }
    }
    return loss;
}

void Headroom::look(const Table& table, const health::Table& health, std::span<const unsigned> capacities,
                    const Sample& in_flight, health::TimePoint now) {
    rows_.clear();
    if (!has_limits(capacities)) {
        means_.clear();
        overload_seen_.clear();
        return;
    }
    // The same weight for all pairs: a request that moves from one origin to another is never counted twice.
    const std::chrono::duration<double> passed = now - std::exchange(looked_at_, now);
    const double weight = means_.empty() ? 1 : 1 - std::exp(-passed / std::chrono::duration<double>{mean_over});
    for (const auto& [pair, count] : in_flight) means_.try_emplace(pair, 0);
    for (auto& [pair, mean] : means_) {
        const auto found = in_flight.find(pair);
        mean += ((found == in_flight.end() ? 0 : found->second) - mean) * weight;
    }
    constexpr double nothing = 1e-3;
    std::erase_if(means_, [&](const auto& each) { return each.second < nothing && !in_flight.contains(each.first); });
    std::erase_if(overload_seen_, [&](const auto& each) {
        return std::none_of(table.origins.begin(), table.origins.end(),
                            [&](const auto& origin) { return origin.name == each.first; });
    });
    const auto loads = loads_of(table, nullptr);
    for (std::size_t id = 0; id < table.origins.size(); ++id) {
        const std::string& name = table.origins[id].name;
        Row row{name, lose(static_cast<OriginId>(id), table, health, capacities, loads)};
        for (const auto& [taker, count] : row.loss.takes) row.takes.emplace_back(table.origins[taker].name, count);
        const auto seen = overload_seen_.find(name);
        const bool was = seen == overload_seen_.end();
        if (!row.loss.survivable())
            overload_seen_[name] = now;
        else if (!was && now - seen->second >= calm_after)
            overload_seen_.erase(seen);
        row.survivable = !overload_seen_.contains(name);
        row.changed = row.survivable != was;
        rows_.push_back(std::move(row));
    }
}

Loss Headroom::ask(OriginId lost, const Table& table, const health::Table& health, std::span<const unsigned> capacities,
                   const Sample& in_flight) const {
    return lose(lost, table, health, capacities, loads_of(table, &in_flight));
}

Loads Headroom::loads_of(const Table& table, const Sample* least) const {
    Loads loads(table.sites.size(), std::vector<double>(table.origins.size()));
    std::unordered_map<std::string_view, std::size_t> sites, origins;
    for (std::size_t site = 0; site < table.sites.size(); ++site) sites.emplace(table.sites[site].name, site);
    for (std::size_t id = 0; id < table.origins.size(); ++id) origins.emplace(table.origins[id].name, id);
    const auto take = [&](const Sample& sample) {
        for (const auto& [pair, count] : sample) {
            const auto site = sites.find(pair.first), origin = origins.find(pair.second);
            if (site == sites.end() || origin == origins.end()) continue;
            auto& load = loads[site->second][origin->second];
            load = std::max(load, count);
        }
    };
    take(means_);
    if (least) take(*least);
    return loads;
}

}  // namespace nearhop::steering
