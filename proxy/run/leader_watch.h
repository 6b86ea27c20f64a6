#pragma once

#include "health/leader.h"
#include "health/table.h"
#include "proxy/steering/table.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace nearhop::run {

/// Which origin each site by latency keeps to; logs when it becomes another. By site name: a reload forgets nothing. On
/// the control thread.
class LeaderWatch {
public:
    /// Once a second.
    void look(const steering::Table& table, const health::Table& health, health::TimePoint now);
    /// As health::Table has them: by the table's sites, -1 for none.
    std::vector<std::int32_t> leaders(const steering::Table& table) const;

private:
    std::map<std::string, health::Leader> leaders_;
};

}  // namespace nearhop::run
