#include "proxy/exchange/rate_table.h"

#include <algorithm>
#include <bit>

namespace nearhop::exchange {

using std::chrono::nanoseconds;

Pace Pace::of(unsigned count, std::chrono::seconds per, unsigned burst) noexcept {
    if (count == 0) return {};
    const nanoseconds each = std::max(nanoseconds{1}, nanoseconds{per} / count);
    return {each, each * std::max(burst, 1U)};
}

Taken Bucket::take(const Pace& pace, nanoseconds now) noexcept {
    std::int64_t full_at = full_at_.load(std::memory_order_relaxed);
    for (;;) {
        // Another pace may have filled it deeper than this one allows: after a reload nobody waits longer than a depth.
        const std::int64_t from = std::clamp(full_at, now.count(), now.count() + pace.depth.count());
        const std::int64_t next = from + pace.per_token.count();
        const std::int64_t over = next - now.count() - pace.depth.count();
        if (over > 0) return {false, false, nanoseconds{over}};
        if (full_at_.compare_exchange_weak(full_at, next, std::memory_order_relaxed)) return {};
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
            if (holder == key) return slot->bucket.take(pace, now);
            const std::int64_t full_at =
                holder == 0 ? INT64_MIN : slot->bucket.full_at_.load(std::memory_order_relaxed);
            if (full_at >= soonest) continue;
            victim = slot;
            soonest = full_at;
            held_by = holder;
        }
        // Emptied of its debt first: the new holder must not be charged with it.
        victim->bucket.full_at_.store(0, std::memory_order_relaxed);
        if (!victim->key.compare_exchange_strong(held_by, key, std::memory_order_relaxed)) continue;
        Taken taken = victim->bucket.take(pace, now);
        taken.forgot = soonest > now.count();
        return taken;
    }
    return {};
}

}  // namespace nearhop::exchange
