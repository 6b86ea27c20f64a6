#include "proxy/run/traffic_watch.h"

#include <utility>

namespace nearhop::run {

std::map<std::string, TrafficWatch::Counted> TrafficWatch::look() {
    std::map<std::string, Counted> since;
    for (const auto& [name, blocks] : registry_.pools()) {
        Counted now;
        for (const auto& block : blocks) {
            if (!block) continue;  // that worker has not used the origin yet
            now.ok += block->ok.get();
            now.failed += block->failed.get();
        }
        const Counted before = std::exchange(before_[name], now);
        since[name] = {now.ok - before.ok, now.failed - before.failed};
    }
    return since;
}

}  // namespace nearhop::run
