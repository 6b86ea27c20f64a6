#pragma once

#include "conf/config.h"
#include "proxy/loop/loop.h"
#include "proxy/shared/capacity.h"

#include <cstdint>
#include <string_view>

namespace nearhop::control {

/// Bytes of memory that a process holds, by the text of its /proc/PID/status: what is resident, but of what is shared
/// with files in memory (the copies of geo databases) all, resident in this process or not. 0: it does not say.
std::uint64_t held_memory(std::string_view status, std::uint64_t copies) noexcept;

/// Tells the process's capacity, four times a second, what memory it holds: what the kernel's killer looks at. Near
/// the limit the allocator is asked to give back what it merely keeps, so that shedding ends when its cause does.
class MemoryWatch final : private loop::Notify {
public:
    MemoryWatch(loop::Loop& loop, shared::Capacity& capacity);
    ~MemoryWatch();
    MemoryWatch(const MemoryWatch&) = delete;
    MemoryWatch& operator=(const MemoryWatch&) = delete;

private:
    void notify() noexcept override;
    std::uint64_t held() const noexcept;

    loop::Loop& loop_;
    shared::Capacity& capacity_;
    int status_;  ///< kept open: there may be no descriptor left when it matters
    loop::TimePoint next_trim_{};
    loop::Timer timer_;
};

}  // namespace nearhop::control
