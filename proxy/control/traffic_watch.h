#pragma once

#include "proxy/shared/registry.h"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace nearhop::control {

/// Sums what all workers counted of each origin, for the rule on shares of failures. On the control thread.
class TrafficWatch {
public:
    explicit TrafficWatch(const shared::Registry& registry) : registry_{registry} {}

    struct Counted {
        std::uint64_t ok = 0, failed = 0;
    };
    /// By origin name: what was counted since the last look, where it was anything.
    std::vector<std::pair<std::string, Counted>> look();

private:
    const shared::Registry& registry_;
    std::unordered_map<std::string, Counted> before_;  ///< where it was anything
};

}  // namespace nearhop::control
