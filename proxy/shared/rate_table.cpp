#include "proxy/shared/rate_table.h"

#include <algorithm>
#include <bit>

namespace nearhop::shared {

using std::chrono::nanoseconds;

namespace {

constexpr double rounding = 1e-6;  // of a token: sums of doubles must not refuse the last one of a burst

}  // namespace

Pace Pace::of(unsigned count, std::chrono::seconds per, unsigned burst, nanoseconds since) noexcept {
    Pace pace;
    if (count == 0) return pace;
    pace.rate_ = count / static_cast<double>(nanoseconds{per}.count());
    pace.burst_ = std::max(burst, 1U);
    pace.since_ = since;
    return pace;
}

Pace Pace::followed_by(Pace next, nanoseconds now) const noexcept {
    next.since_ = now;
    // Where fewer fit into a bucket than before, what is left in it stays, up to that: the rest of its debt is let off.
    next.before_ = clock(now) + std::max(0.0, burst_ - next.burst_);
    return next;
}

Taken Bucket::take(const Pace& pace, nanoseconds now) noexcept {
    const double clock = pace.clock(now);
    double full_at = full_at_.load(std::memory_order_relaxed);
    for (;;) {
        // Nobody owes more than what a bucket holds, whatever clock it was filled by.
        const double from = std::clamp(full_at, clock, clock + pace.burst());
        const double missing = from + 1 - clock - pace.burst();
        if (missing > rounding && full_at > from &&
            !full_at_.compare_exchange_weak(full_at, from, std::memory_order_relaxed))
            continue;
        if (missing > rounding)
            return {.allowed = false, .retry_after = pace.time_for(missing), .full_after = pace.time_for(from - clock)};
        if (full_at_.compare_exchange_weak(full_at, from + 1, std::memory_order_relaxed))
            return {.full_after = pace.time_for(from + 1 - clock)};
    }
}

RateTable::RateTable(std::size_t buckets)
    : sets_{std::bit_ceil(std::max<std::size_t>(buckets, 64)) / ways}, slots_{std::make_unique<Slot[]>(sets_ * ways)} {}

Taken RateTable::take(std::uint64_t key, const Pace& pace, nanoseconds now) noexcept {
    Slot* const set = &slots_[(key & (sets_ - 1)) * ways];
    // Another worker may take the chosen place meanwhile: look once more, and then rather let one request pass.
    for (int round = 0; round < 2; ++round) {
        Slot* victim = set;
        std::int64_t soonest = INT64_MAX;
        std::uint64_t held_by = 0;
        for (Slot* slot = set; slot != set + ways; ++slot) {
            const std::uint64_t holder = slot->key.load(std::memory_order_relaxed);
            if (holder == key) return take(*slot, pace, now);
            const std::int64_t idle_at = holder == 0 ? INT64_MIN : slot->idle_at.load(std::memory_order_relaxed);
            if (idle_at >= soonest) continue;
            victim = slot;
            soonest = idle_at;
            held_by = holder;
        }
        // Emptied of its debt first: the new holder must not be charged with it.
        victim->bucket.full_at_.store(0, std::memory_order_relaxed);
        if (!victim->key.compare_exchange_strong(held_by, key, std::memory_order_relaxed)) continue;
        Taken taken = take(*victim, pace, now);
        taken.forgot = soonest > now.count();
        return taken;
    }
    return {};
}

Taken RateTable::take(Slot& slot, const Pace& pace, nanoseconds now) noexcept {
    const Taken taken = slot.bucket.take(pace, now);
    slot.idle_at.store((now + taken.full_after).count(), std::memory_order_relaxed);
    return taken;
}

}  // namespace nearhop::shared
