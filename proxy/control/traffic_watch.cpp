#include "proxy/control/traffic_watch.h"

#include <utility>

namespace nearhop::control {

std::vector<std::pair<std::string, TrafficWatch::Counted>> TrafficWatch::look() {
    std::vector<std::pair<std::string, Counted>> since;
    std::unordered_map<std::string, Counted> seen;
    for (const auto& [name, blocks] : registry_.pools()) {
        Counted now;
        for (const auto& block : blocks) {
            if (!block) continue;  // that worker has not used the origin yet
            now.ok += block->ok.get();
            now.failed += block->failed.get();
        }
        // A row that went and came back begins with 0.
        if (now.ok == 0 && now.failed == 0) continue;  // most of many origins
        const auto known = before_.find(name);
        const Counted before = known == before_.end() ? Counted{} : known->second;
        const bool is_same = now.ok >= before.ok && now.failed >= before.failed;
        const Counted more = is_same ? Counted{now.ok - before.ok, now.failed - before.failed} : now;
        if (more.ok != 0 || more.failed != 0) since.emplace_back(name, more);
        seen.emplace(name, now);
    }
    before_ = std::move(seen);
    return since;
}

}  // namespace nearhop::control
