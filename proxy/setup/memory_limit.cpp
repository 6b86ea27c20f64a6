#include "proxy/setup/memory_limit.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <unistd.h>

namespace nearhop::setup {
namespace {

std::uint64_t page_size() noexcept {
    const long size = sysconf(_SC_PAGESIZE);
    return size > 0 ? static_cast<std::uint64_t>(size) : 4096;
}

std::uint64_t cgroup_limit_of(const std::string& file) {
    std::ifstream stream{file};
    const std::string text{std::istreambuf_iterator<char>{stream}, {}};
    return cgroup_limit(text);
}

/// "0::/system.slice/nearhop.service": the part behind the second colon of the line for version 2.
std::string own_cgroup() {
    std::ifstream stream{"/proc/self/cgroup"};
    for (std::string line; std::getline(stream, line);)
        if (line.starts_with("0::")) return line.substr(3);
    return "/";
}

}  // namespace

std::uint64_t cgroup_limit(std::string_view text) noexcept {
    std::uint64_t bytes = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
    const bool whole = error == std::errc{} && (end == text.data() + text.size() || *end == '\n');
    return whole && bytes < (std::uint64_t{1} << 60) ? bytes : 0;
}

std::uint64_t available_memory() {
    const long pages = sysconf(_SC_PHYS_PAGES);
    std::uint64_t least = pages > 0 ? static_cast<std::uint64_t>(pages) * page_size() : std::uint64_t{1} << 30;
    for (const std::string& file :
         {"/sys/fs/cgroup" + own_cgroup() + "/memory.max", std::string{"/sys/fs/cgroup/memory.max"},
          std::string{"/sys/fs/cgroup/memory/memory.limit_in_bytes"}})
        if (const auto bytes = cgroup_limit_of(file); bytes != 0) least = std::min(least, bytes);
    return least;
}

std::uint64_t memory_limit(const conf::Limits& limits) {
    return limits.memory != 0 ? limits.memory : available_memory() / 10 * 8;
}

std::uint64_t most_geo_bytes(const conf::Limits& limits) {
    return limits.geo_bytes != 0 ? limits.geo_bytes : memory_limit(limits) / 2;
}

}  // namespace nearhop::setup
