#pragma once

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace nearhop::shared {

/// How fast a token bucket fills and how much it holds, with a clock that counts in tokens: how many have come since
/// the limit was first set. Buckets go by it, so that a limit that takes the place of another holds for all of them at
/// once: what was taken before counts as so many requests, not as so much time. In doubles: no rate, burst or time
/// overflows, and after a year at a thousand a second the clock still tells a hundred-thousandth of a token.
class Pace {
public:
    Pace() = default;  ///< no limit
    /// `count` tokens in `per`, at most `burst` (or 1) at once. Its clock shows 0 at the time `since`.
    static Pace of(unsigned count, std::chrono::seconds per, unsigned burst,
                   std::chrono::nanoseconds since = std::chrono::nanoseconds{0}) noexcept;
    /// `next` from now on, for buckets that were used under this one.
    Pace followed_by(Pace next, std::chrono::nanoseconds now) const noexcept;

    bool limits() const noexcept { return rate_ > 0; }
    double burst() const noexcept { return burst_; }
    double clock(std::chrono::nanoseconds now) const noexcept {
        return before_ + rate_ * static_cast<double>((now - since_).count());
    }
    std::chrono::nanoseconds time_for(double tokens) const noexcept {
        return std::chrono::nanoseconds{std::llround(tokens / rate_)};
    }
    bool same_limit(const Pace& other) const noexcept { return rate_ == other.rate_ && burst_ == other.burst_; }

private:
    double rate_ = 0;  ///< tokens per nanosecond; 0: no limit
    double burst_ = 0;
    std::chrono::nanoseconds since_{0};
    double before_ = 0;  ///< what the clock showed then
};

/// Whether a token was there; else after what time there will be one.
struct Taken {
    bool allowed = true;
    bool forgot = false;  ///< the table was full: a bucket that was not full again had to give way
    std::chrono::nanoseconds retry_after{0};
    std::chrono::nanoseconds full_after{0};  ///< until the bucket is full again if nothing more is taken
};

/// A token bucket in one word, for several threads: what its pace's clock will show when it is full again (GCRA). A
/// full bucket, a new one and one that was forgotten are the same. One bucket belongs to one pace and its followers;
/// times are since any fixed point that all callers share.
class Bucket {
public:
    Taken take(const Pace& pace, std::chrono::nanoseconds now) noexcept;

private:
    friend class RateTable;
    std::atomic<double> full_at_{0};
};

/// The buckets of many clients in fixed memory, shared by all workers without a lock: a client's connections land on
/// any of them, and dividing the rate by their number would give a client with one connection a part of what it may
/// have. 24 bytes each, in sets of eight. A newcomer to a full set takes the place of the bucket that is nearest to
/// full, so that a flood of addresses forgets its own first and not those that are held back.
class RateTable {
public:
    explicit RateTable(std::size_t buckets);  ///< rounded up to a power of two, at least 64

    /// `key` from AddressHash, never 0; it means a client and a pace. No allocation.
    Taken take(std::uint64_t key, const Pace& pace, std::chrono::nanoseconds now) noexcept;
    std::size_t capacity() const noexcept { return sets_ * ways; }

private:
    static constexpr std::size_t ways = 8;
    struct Slot {
        std::atomic<std::uint64_t> key{0};
        Bucket bucket;
        /// When it will be full again by the pace of its last use: the clocks of several paces do not compare.
        std::atomic<std::int64_t> idle_at{0};
    };
    Taken take(Slot& slot, const Pace& pace, std::chrono::nanoseconds now) noexcept;

    std::size_t sets_;
    std::unique_ptr<Slot[]> slots_;
};

}  // namespace nearhop::shared
