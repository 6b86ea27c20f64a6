#pragma once

#include "geo/address.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace nearhop::geo {

/// What AWS's list of its networks (ip-ranges.json) says of one service.
struct IpRanges {
    std::vector<Cidr> networks;  ///< each once, by address
    std::string error;           ///< why there is none; holds no text of the list
};

inline constexpr std::size_t largest_ip_ranges = 8 * 1024 * 1024;  ///< bytes; AWS's has 2 MiB
inline constexpr std::size_t most_ip_ranges = 20'000;              ///< networks of one service

/// The networks of `service` in the text of such a list. All or nothing: what is not understood in one row is no reason
/// to believe the others, and no networks at all are an error as well.
IpRanges parse_ip_ranges(std::string_view json, std::string_view service);

}  // namespace nearhop::geo
