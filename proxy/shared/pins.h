#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

namespace nearhop::shared {

/// To which origin requests with an Idempotency-Key went: the only one that can recognise the key when it comes again
/// (draft-ietf-httpapi-idempotency-key-header). Of the process, since a client may come back on any worker. A fixed
/// number of entries in sets of eight, behind sixteen locks: only requests that carry the field come here. A new key in
/// a full set takes the place of the one that would expire first.
class Pins {
public:
    Pins();
    Pins(std::uint64_t a, std::uint64_t b);  ///< for tests: keys of the hash
    /// Before the workers start: the number of entries, rounded up to whole sets.
    void prepare(std::size_t entries);

    using Time = std::chrono::nanoseconds;  ///< since any fixed point that all callers share

    /// What a request and an origin are known by; never 0. Keyed: nobody outside can choose keys that collide.
    std::uint64_t request(std::string_view site, std::string_view method, std::string_view target,
                          std::string_view key) const noexcept;
    std::uint64_t origin(std::string_view name) const noexcept;

    /// The origin that has the request, 0: none.
    std::uint64_t find(std::uint64_t request, Time now) noexcept;
    struct Claim {
        std::uint64_t origin;  ///< the one asked for, or the one that was there first
        bool forgot = false;   ///< another key had to go before its time
        bool made = false;     ///< by this call: nobody had the request before
    };
    Claim claim(std::uint64_t request, std::uint64_t origin, Time now, Time expiry) noexcept;
    /// The origin has provably not acted on it.
    void release(std::uint64_t request, std::uint64_t origin) noexcept;

private:
    static constexpr std::size_t ways = 8;
    struct Entry {
        std::uint64_t request = 0;
        std::uint64_t origin = 0;
        Time until{0};
    };
    struct alignas(64) Lock {
        std::mutex mutex;
    };
    std::uint64_t hash(std::uint64_t seed, std::string_view text) const noexcept;
    Entry* set_of(std::uint64_t request) noexcept { return &entries_[request % sets_ * ways]; }
    std::mutex& mutex_of(std::uint64_t request) noexcept { return locks_[request % sets_ % locks_.size()].mutex; }

    std::uint64_t a_, b_;
    std::size_t sets_ = 8;
    std::vector<Entry> entries_{sets_ * ways};
    std::array<Lock, 16> locks_;
};

}  // namespace nearhop::shared
