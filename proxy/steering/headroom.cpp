#include "proxy/steering/headroom.h"

#include "proxy/steering/decision.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
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

namespace {

/// The loss of any origin of one table at one moment. What all of them have in common is worked out once, and a loss
/// looks only at the sites that it could reach (the lost origin's, those that share an origin with them, and so on):
/// with thousands of origins it must cost no more than that.
class Losses {
public:
    Losses(const Table& table, const health::Table& health, std::span<const unsigned> capacities, const Loads& loads)
        : table_{table}, health_{health}, loads_{loads}, room_(table.origins.size()), sites_(table.origins.size()) {
        for (std::size_t id = 0; id < room_.size(); ++id)
            room_[id] = capacities[id] == 0 ? std::numeric_limits<double>::infinity() : capacities[id];
        for (std::size_t site = 0; site < loads.size(); ++site) {
            const auto& origins = table.sites[site].origins;
            for (std::size_t i = 0; i < origins.size(); ++i) {
                room_[origins[i]] -= loads[site][i];
                sites_[origins[i]].push_back(static_cast<SiteId>(site));
            }
        }
        for (std::size_t id = 0; id < room_.size(); ++id)
            room_[id] = takes_requests(static_cast<OriginId>(id), health) ? std::max(0.0, room_[id]) : 0;
        find_reach();
    }

    Loss of(OriginId lost) {
        Loss loss;
        if (sites_[lost].empty()) return loss;
        const double had = std::exchange(room_[lost], 0);
        std::vector<std::pair<OriginId, double>> before;  // what room was before it was taken
        for (const SiteId site : reach_[reach_of_[sites_[lost].front()]]) {
            const auto& origins = table_.sites[site].origins;
            for (std::size_t i = 0; i < origins.size(); ++i) {
                if (loads_[site][i] <= 0) continue;
                if (origins[i] == lost || !takes_requests(origins[i], health_))
                    place(origins[i], site, loads_[site][i], loss, before);
            }
        }
        for (auto each = before.rbegin(); each != before.rend(); ++each) room_[each->first] = each->second;
        room_[lost] = had;
        return loss;
    }

private:
    /// Sites that share origins, and those that share with them, in the configuration's order.
    void find_reach() {
        std::vector<std::size_t> group(table_.sites.size());
        std::iota(group.begin(), group.end(), std::size_t{0});
        const auto first_of = [&](std::size_t site) {
            while (group[site] != site) site = group[site] = group[group[site]];
            return site;
        };
        for (const auto& sites : sites_)
            for (const SiteId site : sites) {
                const auto one = first_of(sites.front()), other = first_of(site);
                group[std::max(one, other)] = std::min(one, other);
            }
        reach_.resize(table_.sites.size());
        for (std::size_t site = 0; site < table_.sites.size(); ++site) {
            reach_of_.push_back(first_of(site));
            reach_[reach_of_.back()].push_back(static_cast<SiteId>(site));
        }
    }

    void place(OriginId from, SiteId site, double left, Loss& loss, std::vector<std::pair<OriginId, double>>& before) {
        loss.load += left;
        order_without(from, site, table_, health_, decision_);
        for (const Considered& next : decision_.all()) {
            const double takes = is_forbidden(next.reason) ? 0 : std::min(left, room_[next.id]);
            if (takes <= 0) continue;
            before.emplace_back(next.id, room_[next.id]);
            room_[next.id] -= takes;
            left -= takes;
            loss.placed += takes;
            const auto known = std::find_if(loss.takes.begin(), loss.takes.end(),
                                            [&](const auto& each) { return each.first == next.id; });
            if (known == loss.takes.end())
                loss.takes.emplace_back(next.id, takes);
            else
                known->second += takes;
        }
    }

    const Table& table_;
    const health::Table& health_;
    const Loads& loads_;
    std::vector<double> room_;                ///< by OriginId
    std::vector<std::vector<SiteId>> sites_;  ///< by OriginId: where it is a member
    std::vector<std::size_t> reach_of_;       ///< by SiteId: index into reach_
    std::vector<std::vector<SiteId>> reach_;
    Decision decision_;
};

}  // namespace

Loss lose(OriginId lost, const Table& table, const health::Table& health, std::span<const unsigned> capacities,
          const Loads& loads) {
    return Losses{table, health, capacities, loads}.of(lost);
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
    std::set<std::string_view> names;
    for (const auto& origin : table.origins) names.insert(origin.name);
    std::erase_if(overload_seen_, [&](const auto& each) { return !names.contains(each.first); });
    const auto loads = loads_of(table, nullptr);
    Losses losses{table, health, capacities, loads};
    for (std::size_t id = 0; id < table.origins.size(); ++id) {
        const std::string& name = table.origins[id].name;
        Row row{name, losses.of(static_cast<OriginId>(id))};
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
    Loads loads;
    for (const auto& site : table.sites) loads.emplace_back(site.origins.size());
    std::unordered_map<std::string_view, std::size_t> sites, origins;
    for (std::size_t site = 0; site < table.sites.size(); ++site) sites.emplace(table.sites[site].name, site);
    for (std::size_t id = 0; id < table.origins.size(); ++id) origins.emplace(table.origins[id].name, id);
    const auto take = [&](const Sample& sample) {
        for (const auto& [pair, count] : sample) {
            const auto site = sites.find(pair.first), origin = origins.find(pair.second);
            if (site == sites.end() || origin == origins.end()) continue;
            const auto position = table.sites[site->second].position_of(static_cast<OriginId>(origin->second));
            if (!position) continue;
            auto& load = loads[site->second][index_of(*position)];
            load = std::max(load, count);
        }
    };
    take(means_);
    if (least) take(*least);
    return loads;
}

}  // namespace nearhop::steering
