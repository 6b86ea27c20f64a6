#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace nearhop::exchange {

/// How fast a token bucket fills and how much it holds.
struct Pace {
    std::chrono::nanoseconds per_token{0};  ///< zero: no limit
    std::chrono::nanoseconds depth{0};      ///< burst times per_token
    static Pace of(unsigned count, std::chrono::seconds per, unsigned burst) noexcept;
    bool limits() const noexcept { return per_token.count() != 0; }
};

/// Whether a token was there; else after what time there will be one.
struct Taken {
    bool allowed = true;
    bool forgot = false;  ///< the table was full: a bucket that was not full again had to give way
    std::chrono::nanoseconds retry_after{0};
};

/// A token bucket in one word, for several threads: the time at which it will be full again (GCRA). A full bucket, a
/// new one and one that was forgotten are the same. Times are since any fixed point that all callers share.
class Bucket {
public:
    Taken take(const Pace& pace, std::chrono::nanoseconds now) noexcept;

private:
    friend class RateTable;
    std::atomic<std::int64_t> full_at_{0};
};

/// The buckets of many clients in fixed memory, shared by all workers without a lock: a client's connections land on
/// any of them, and dividing the rate by their number would give a client with one connection a part of what it may
/// have. Sixteen bytes each, in sets of eight. A newcomer to a full set takes the place of the bucket that is nearest
/// to full, so that a flood of addresses forgets its own first and not those that are held back.
class RateTable {
public:
    explicit RateTable(std::size_t buckets);  ///< rounded up to a power of two, at least 64

    /// `key` from AddressHash, never 0. No allocation.
    Taken take(std::uint64_t key, const Pace& pace, std::chrono::nanoseconds now) noexcept;
    std::size_t capacity() const noexcept { return sets_ * ways; }

private:
    static constexpr std::size_t ways = 8;
    struct Slot {
        std::atomic<std::uint64_t> key{0};
        Bucket bucket;
    };
    std::size_t sets_;
    std::unique_ptr<Slot[]> slots_;
};

}  // namespace nearhop::exchange
