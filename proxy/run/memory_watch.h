#pragma once

#include "proxy/exchange/capacity.h"
#include "proxy/loop/loop.h"

#include <cstdint>
#include <string_view>

namespace nearhop::run {

/// What the machine or this process's cgroup has, in bytes, whichever is less.
std::uint64_t available_memory();
/// The bytes in a cgroup's limit file; 0 where it sets none ("max", or version 1's near-endless number).
std::uint64_t cgroup_limit(std::string_view text) noexcept;

/// Tells the process's capacity, four times a second, what memory is resident: what the kernel's killer looks at. Near
/// the limit the allocator is asked to give back what it merely keeps, so that shedding ends when its cause does.
class MemoryWatch final : private loop::Notify {
public:
    MemoryWatch(loop::Loop& loop, exchange::Capacity& capacity);
    ~MemoryWatch();
    MemoryWatch(const MemoryWatch&) = delete;
    MemoryWatch& operator=(const MemoryWatch&) = delete;

private:
    void notify() noexcept override;
    std::uint64_t resident() const noexcept;

    loop::Loop& loop_;
    exchange::Capacity& capacity_;
    int statm_;  ///< kept open: there may be no descriptor left when it matters
    loop::TimePoint next_trim_{};
    loop::Timer timer_;
};

}  // namespace nearhop::run
