#include "proxy/control/memory_watch.h"

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

namespace nearhop::control {
namespace {

constexpr loop::milliseconds interval{250};
constexpr loop::milliseconds between_trims{1'000};
constexpr unsigned trim_from = shared::Capacity::all_sessions_at;

}  // namespace

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

MemoryWatch::MemoryWatch(loop::Loop& loop, shared::Capacity& capacity)
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
    if (capacity_.load(shared::Resource::memory) < trim_from || loop_.now() < next_trim_) return;
    next_trim_ = loop_.now() + between_trims;
    ::malloc_trim(0);
    capacity_.set_memory(held());
}

}  // namespace nearhop::control
