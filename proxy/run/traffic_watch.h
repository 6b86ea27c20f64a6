#pragma once

#include "proxy/admin/registry.h"

#include <cstdint>
#include <map>
#include <string>

namespace nearhop::run {

/// Sums what all workers counted of each origin, for the rule on shares of failures. On the control thread.
class TrafficWatch {
public:
    explicit TrafficWatch(const admin::Registry& registry) : registry_{registry} {}

    struct Counted {
        std::uint64_t ok = 0, failed = 0;
    };
    /// By origin name: what was counted since the last look.
    std::map<std::string, Counted> look();

private:
    const admin::Registry& registry_;
    std::map<std::string, Counted> before_;
};

}  // namespace nearhop::run
