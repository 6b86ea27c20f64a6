#pragma once

#include "conf/config.h"
#include "proxy/exchange/capacity.h"
#include "proxy/loop/loop.h"

#include <cstdint>
#include <string_view>

namespace nearhop::run {

/// What the machine or this process's cgroup has, in bytes, whichever is less.
std::uint64_t available_memory();
/// The bytes in a cgroup's limit file; 0 where it sets none ("max", or version 1's near-endless number).
std::uint64_t cgroup_limit(std::string_view text) noexcept;

/// limits.memory, or its automatic value.
std::uint64_t memory_limit(const conf::Limits& limits);
/// limits.geo_bytes likewise: half of the memory, since a file is there twice while it is replaced.
std::uint64_t most_geo_bytes(const conf::Limits& limits);
/// Bytes of memory that a process holds, by the text of its /proc/PID/status: what is resident, but of what is shared
/// with files in memory (the copies of geo databases) all, resident in this process or not. 0: it does not say.
std::uint64_t held_memory(std::string_view status, std::uint64_t copies) noexcept;

/// Tells the process's capacity, four times a second, what memory it holds: what the kernel's killer looks at. Near
/// the limit the allocator is asked to give back what it merely keeps, so that shedding ends when its cause does.
class MemoryWatch final : private loop::Notify {
public:
    MemoryWatch(loop::Loop& loop, exchange::Capacity& capacity);
    ~MemoryWatch();
    MemoryWatch(const MemoryWatch&) = delete;
    MemoryWatch& operator=(const MemoryWatch&) = delete;

private:
    void notify() noexcept override;
    std::uint64_t held() const noexcept;

    loop::Loop& loop_;
    exchange::Capacity& capacity_;
    int status_;  ///< kept open: there may be no descriptor left when it matters
    loop::TimePoint next_trim_{};
    loop::Timer timer_;
};

}  // namespace nearhop::run
