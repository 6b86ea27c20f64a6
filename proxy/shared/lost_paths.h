#pragma once

#include "proxy/loop/loop.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

namespace nearhop::shared {

/// Which addresses of one origin lost what was sent to them, and when that was sent: told by every worker and by
/// probes, asked by requests that wait there. No lock: a slot is one word, a part of the address's hash and a time.
/// Where two addresses share a slot the later one has it; what is forgotten so is found out again.
class LostPaths {
public:
    void note(std::string_view address, loop::TimePoint sent) noexcept {
        const Key key = key_of(address);
        auto& slot = slots_[key.slot];
        const auto word = key.tag | micros_of(sent);
        const auto known = slot.load(std::memory_order_relaxed);
        // Of two that tell at once either may stay: both are late enough for nearly all who ask.
        if ((known & ~time_mask) != key.tag || known < word) slot.store(word, std::memory_order_relaxed);
    }
    /// Whether something that was sent to the address at `time` or later was lost.
    bool since(std::string_view address, loop::TimePoint time) const noexcept {
        const Key key = key_of(address);
        const auto known = slots_[key.slot].load(std::memory_order_relaxed);
        return known != 0 && (known & ~time_mask) == key.tag && (known & time_mask) >= micros_of(time);
    }

private:
    static constexpr std::size_t size = 8;
    static constexpr std::uint64_t time_mask = (std::uint64_t{1} << 48) - 1;  // microseconds: nine years of uptime

    struct Key {
        std::size_t slot;
        std::uint64_t tag;
    };
    static Key key_of(std::string_view address) noexcept {
        const std::uint64_t hash = std::hash<std::string_view>{}(address);
        return {hash % size, hash & ~time_mask};
    }
    static std::uint64_t micros_of(loop::TimePoint time) noexcept {
        const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
        return static_cast<std::uint64_t>(micros) & time_mask;
    }

    std::array<std::atomic<std::uint64_t>, size> slots_{};
};

}  // namespace nearhop::shared
