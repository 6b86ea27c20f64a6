#pragma once

#include "health/leader.h"
#include "health/table.h"
#include "proxy/steering/table.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace nearhop::control {

/// Which origin each site by latency keeps to; logs when it becomes another. By site name: a reload forgets nothing. On
/// the control thread.
class LeaderWatch {
public:
    /// Once a second.
    void look(const steering::Table& table, const health::Table& health, health::TimePoint now);
    /// The configuration is a new one, in which origins may have other numbers.
    void follow(const steering::Table& table);
    /// As health::Table has them: by the table's sites, -1 for none.
    std::vector<std::int32_t> leaders(const steering::Table& table) const;

private:
    struct Kept {
        health::Leader leader;
        std::string origin;  ///< its leader's name, where it has one
    };
    std::map<std::string, Kept> leaders_;
};

}  // namespace nearhop::control
