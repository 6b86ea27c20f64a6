#include "proxy/run/memory_watch.h"

#include "geo/database.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <malloc.h>
#include <string>
#include <unistd.h>
#include <utility>

namespace nearhop::run {
namespace {

constexpr loop::milliseconds interval{250};
constexpr loop::milliseconds between_trims{1'000};
constexpr unsigned trim_from = exchange::Capacity::all_sessions_at;

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

std::uint64_t held_memory(std::string_view status, std::uint64_t copies) noexcept {
    // "VmRSS:\t   12345 kB"
    const auto kibibytes = [&](std::string_view name) {
        std::uint64_t value = 0;
        const auto at = status.find(name);
        if (at == status.npos) return value;
        const auto text = status.substr(at + name.size());
        const auto digits = std::min(text.find_first_not_of(" \t"), text.size());
        std::from_chars(text.data() + digits, text.data() + text.size(), value);
        return value;
    };
    const auto resident = kibibytes("\nVmRSS:"), in_files = std::min(kibibytes("\nRssShmem:"), resident);
    return resident == 0 ? 0 : (resident - in_files) * 1024 + copies;
}

MemoryWatch::MemoryWatch(loop::Loop& loop, exchange::Capacity& capacity)
    : loop_{loop},
      capacity_{capacity},
      status_{::open("/proc/self/status", O_RDONLY | O_CLOEXEC)},
      timer_{loop, *this} {
    timer_.expires_after(interval);
}

MemoryWatch::~MemoryWatch() {
    if (status_ >= 0) ::close(status_);
}

std::uint64_t MemoryWatch::held() const noexcept {
    std::array<char, 4096> text;
    const ssize_t size = ::pread(status_, text.data(), text.size(), 0);
    if (size <= 0) return 0;
    return held_memory({text.data(), static_cast<std::size_t>(size)}, geo::Database::bytes_in_use());
}

void MemoryWatch::notify() noexcept {
    timer_.expires_after(interval);
    capacity_.set_memory(held());
    if (capacity_.load(exchange::Resource::memory) < trim_from || loop_.now() < next_trim_) return;
    next_trim_ = loop_.now() + between_trims;
    ::malloc_trim(0);
    capacity_.set_memory(held());
}

}  // namespace nearhop::run
