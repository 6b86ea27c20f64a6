#include "proxy/control/leader_watch.h"

#include "proxy/account/logging.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace nearhop::control {

void LeaderWatch::look(const steering::Table& table, const health::Table& health, health::TimePoint now) {
    std::map<std::string, Kept> next;
    for (const auto& site : table.sites) {
        const bool measures = site.unlocated && site.unlocated->nearest_to_edge;
        if (site.policy != conf::Policy::latency && !measures) continue;
        std::vector<health::Leader::Candidate> candidates;
        for (const auto id : site.origins) {
            const auto& origin = health.origins[id];
            const bool measured = origin.rtt_ms >= 0;
            candidates.push_back({static_cast<std::uint16_t>(id),
                                  measured ? static_cast<std::int32_t>(std::lround(std::min(origin.rtt_ms, 1e6))) : -1,
                                  table.origins[id].weight,
                                  origin.state.eligible() && origin.share == health::Failback::everyone});
        }
        auto& kept = next[site.name] = std::move(leaders_[site.name]);
        if (!kept.leader.look(candidates, now)) continue;
        kept.origin = kept.leader.origin() ? table.origins[*kept.leader.origin()].name : std::string{};
        if (!kept.origin.empty()) account::log_info("leader", {{"site", site.name}, {"origin", kept.origin}});
    }
    leaders_ = std::move(next);
}

void LeaderWatch::follow(const steering::Table& table) {
    for (const auto& site : table.sites) {
        const auto found = leaders_.find(site.name);
        if (found == leaders_.end()) continue;
        auto& kept = found->second;
        const auto same = std::find_if(site.origins.begin(), site.origins.end(),
                                       [&](auto id) { return table.origins[id].name == kept.origin; });
        kept.leader.renumber(same == site.origins.end() ? std::nullopt
                                                        : std::optional{static_cast<std::uint16_t>(*same)});
    }
}

std::vector<std::int32_t> LeaderWatch::leaders(const steering::Table& table) const {
    std::vector<std::int32_t> leaders;
    for (const auto& site : table.sites) {
        const auto leader = leaders_.find(site.name);
        const auto origin = leader != leaders_.end() ? leader->second.leader.origin() : std::nullopt;
        leaders.push_back(origin ? *origin : -1);
    }
    return leaders;
}

}  // namespace nearhop::control
