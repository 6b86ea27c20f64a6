#include "proxy/run/traffic_watch.h"

#include <utility>

namespace nearhop::run {

std::map<std::string, TrafficWatch::Counted> TrafficWatch::look() {
    std::map<std::string, Counted> since, seen;
    for (const auto& [name, blocks] : registry_.pools()) {
        Counted now;
        for (const auto& block : blocks) {
            if (!block) continue;  // that worker has not used the origin yet
            now.ok += block->ok.get();
            now.failed += block->failed.get();
        }
        // A row that went and came back begins with 0.
        const Counted before = before_[name];
        const bool is_same = now.ok >= before.ok && now.failed >= before.failed;
        since[name] = is_same ? Counted{now.ok - before.ok, now.failed - before.failed} : now;
        seen[name] = now;
    }
    before_ = std::move(seen);
    return since;
}

}  // namespace nearhop::run
