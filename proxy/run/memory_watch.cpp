#include "proxy/run/memory_watch.h"

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

MemoryWatch::MemoryWatch(loop::Loop& loop, exchange::Capacity& capacity)
    : loop_{loop}, capacity_{capacity}, statm_{::open("/proc/self/statm", O_RDONLY | O_CLOEXEC)}, timer_{loop, *this} {
    timer_.expires_after(interval);
}

MemoryWatch::~MemoryWatch() {
    if (statm_ >= 0) ::close(statm_);
}

std::uint64_t MemoryWatch::resident() const noexcept {
    // "size resident shared ...", in pages.
    std::array<char, 128> text{};
    const ssize_t size = ::pread(statm_, text.data(), text.size(), 0);
    if (size <= 0) return 0;
    const char* const end = text.data() + size;
    const char* const space = std::find(std::as_const(text).data(), end, ' ');
    std::uint64_t pages = 0;
    if (space != end) std::from_chars(space + 1, end, pages);
    return pages * page_size();
}

void MemoryWatch::notify() noexcept {
    timer_.expires_after(interval);
    capacity_.set_memory(resident());
    if (capacity_.load(exchange::Resource::memory) < trim_from || loop_.now() < next_trim_) return;
    next_trim_ = loop_.now() + between_trims;
    ::malloc_trim(0);
    capacity_.set_memory(resident());
}

}  // namespace nearhop::run
