#pragma once

#include "conf/config.h"
#include "geo/country.h"

#include <optional>
#include <string>
#include <vector>

namespace nearhop::simulate {

/// Countries under one name: a country, eu, eea, a group of the configuration's own, continent:EU or all.
struct Group {
    std::string name;
    std::vector<geo::Country> countries;  ///< each once, in the order of their codes

    bool holds(geo::Country country) const noexcept;
};

std::optional<Group> group_from(const std::string& name, const conf::Config& config);
std::vector<std::string> group_names(const conf::Config& config);  ///< without countries; for "did you mean"

}  // namespace nearhop::simulate
