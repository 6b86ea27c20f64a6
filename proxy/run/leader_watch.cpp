#include "proxy/run/leader_watch.h"

#include "proxy/run/logging.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace nearhop::run {

void LeaderWatch::look(const steering::Table& table, const health::Table& health, health::TimePoint now) {
    std::map<std::string, health::Leader> next;
    for (const auto& site : table.sites) {
        if (site.policy != conf::Policy::latency) continue;
        std::vector<health::Leader::Candidate> candidates;
        for (const auto id : site.failover_order) {
            const auto& origin = health.origins[id];
            const bool measured = origin.rtt_ms >= 0;
            candidates.push_back({static_cast<std::uint16_t>(id),
                                  measured ? static_cast<std::int32_t>(std::lround(std::min(origin.rtt_ms, 1e6))) : -1,
                                  table.origins[id].weight,
                                  origin.state.eligible() && origin.share == health::Failback::everyone});
        }
        auto& leader = next[site.name] = leaders_[site.name];
        if (leader.look(candidates, now) && leader.origin())
            log_info("leader", {{"site", site.name}, {"origin", table.origins[*leader.origin()].name}});
    }
    leaders_ = std::move(next);
}

std::vector<std::int32_t> LeaderWatch::leaders(const steering::Table& table) const {
    std::vector<std::int32_t> leaders;
    for (const auto& site : table.sites) {
        const auto leader = leaders_.find(site.name);
        const bool kept = leader != leaders_.end() && leader->second.origin();
        leaders.push_back(kept ? *leader->second.origin() : -1);
    }
    return leaders;
}

}  // namespace nearhop::run
