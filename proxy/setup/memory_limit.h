#pragma once

#include "conf/config.h"

#include <cstdint>
#include <string_view>

namespace nearhop::setup {

/// What the machine or this process's cgroup has, in bytes, whichever is less.
std::uint64_t available_memory();
/// The bytes in a cgroup's limit file; 0 where it sets none ("max", or version 1's near-endless number).
std::uint64_t cgroup_limit(std::string_view text) noexcept;

/// limits.memory, or its automatic value.
std::uint64_t memory_limit(const conf::Limits& limits);
/// limits.geo_bytes likewise: half of the memory, since a file is there twice while it is replaced.
std::uint64_t most_geo_bytes(const conf::Limits& limits);
}  // namespace nearhop::setup
