#pragma once

#include "proxy/loop/loop.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace nearhop::exchange {

/// Judges a transfer that waits for the client: too slow when nothing moved for one `window`, or when less than `rate`
/// bytes per second moved in a whole one. So a byte now and then holds no connection for ever.
class LeastRate {
public:
    /// It is not the client that is awaited: what it sends is judged afresh when it is again.
    void rest() noexcept { awaited_ = false; }
    /// Of a client that is awaited; `moved` is any running total of bytes.
    bool is_too_slow(loop::TimePoint now, std::uint64_t moved, loop::milliseconds window, std::uint64_t rate) noexcept {
        if (!std::exchange(awaited_, true)) {
            last_ = window_ = now;
            seen_ = at_window_ = moved;
        }
        if (moved != seen_) last_ = now;
        seen_ = moved;
        if (now >= last_ + window) return true;
        if (now < window_ + window) return false;
        // In doubles: a rate of 1 GiB times an hour does not fit into the milliseconds of an integer product.
        const double least = static_cast<double>(rate) * std::chrono::duration<double>{window}.count();
        if (static_cast<double>(moved - at_window_) < least) return true;
        window_ = now;
        at_window_ = moved;
        return false;
    }
    /// When to look again although nothing moved.
    loop::TimePoint due(loop::milliseconds window) const noexcept { return std::min(last_, window_) + window; }

private:
    loop::TimePoint last_{}, window_{};
    std::uint64_t seen_ = 0, at_window_ = 0;
    bool awaited_ = false;
};

}  // namespace nearhop::exchange
