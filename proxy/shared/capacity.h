#pragma once

#include "conf/config.h"
#include "proxy/account/counters.h"
#include "proxy/loop/loop.h"
#include "proxy/shared/address_counts.h"
#include "proxy/shared/address_hash.h"
#include "proxy/shared/rate_table.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace nearhop::shared {

/// What the process holds of each thing that can run out. Labels of nearhop_load_ratio.
enum class Resource : std::uint8_t { sessions, requests, handshakes, descriptors, memory };
inline constexpr std::size_t resource_count = static_cast<std::size_t>(Resource::memory) + 1;
std::string_view name(Resource what) noexcept;

/// What the whole process carries and may carry: the workers' shared view, made of atomics only. What changes with
/// every connection is exact; workers add what changes with every request in steps of about one percent.
///
/// Shedding, in this order, by the share of a limit that is in use (docs/limits.md):
///   80 %  new connections of the busiest addresses are closed
///   90 %  all new connections (at 100 % where only sessions or handshakes are short)
///   95 %  new requests of the busiest addresses get 503 (requests, descriptors, memory)
///  100 %  all new requests
/// It ends by itself: each call reads every figure again.
class Capacity {
public:
    static constexpr unsigned busy_sessions_at = 80, all_sessions_at = 90, busy_requests_at = 95;
    static constexpr unsigned few_sessions = 8;  ///< an address with so few is never among the busiest
    static constexpr unsigned few_requests = 2;

    /// Limits in force; 0: none. Set by the control thread at start and after a reload, before workers see the change.
    struct Most {
        std::uint64_t sessions = 0, sessions_per_address = 0, requests = 0, handshakes = 0, descriptors = 0, memory = 0;
        std::uint64_t handshakes_per_second = 0;  ///< and as many at once
    };
    void set(const Most& most) noexcept;
    /// Once, before the workers start: the size of the tables, in addresses.
    void prepare(std::size_t addresses);

    // ---- sessions: exact, on any worker
    /// A place for one more connection of `peer`, or why not. Give it back with end_session(), and the handshake's
    /// share with end_handshake(). A trusted peer speaks for many clients: its address is not judged.
    account::Refusal begin_session(const geo::Address& peer, bool is_trusted, bool with_handshake,
                                   std::chrono::nanoseconds now) noexcept;
    void end_session() noexcept { sessions_.fetch_sub(1, std::memory_order_relaxed); }
    void end_handshake() noexcept { handshakes_.fetch_sub(1, std::memory_order_relaxed); }
    AddressCounts::Held hold(const geo::Address& client, AddressCounts::What what) noexcept;
    /// What begin_session() asks of the address alone; again when a PROXY header has told who it is.
    account::Refusal judge_address(const geo::Address& client, bool is_trusted) const noexcept;

    // ---- requests
    enum class Verdict : std::uint8_t { carry, shed };
    /// Whether so much is in flight that addresses are counted: before shedding begins, never in quiet times.
    bool counts_requests() const noexcept { return request_load() >= busy_sessions_at; }
    /// Of a request that is counted already.
    Verdict judge_request(const geo::Address& client, bool is_trusted_hop) const noexcept;

    /// One bucket per client and site.
    Taken take(const geo::Address& client, std::uint64_t site, const Pace& pace,
               std::chrono::nanoseconds now) noexcept {
        return rates_->take(hash_(client, site), pace, now);
    }
    /// The rate limits of one site and what their buckets are found by.
    struct Rates {
        Pace address, site;
        std::uint64_t scope = 0;         ///< of the clients' buckets
        std::shared_ptr<Bucket> bucket;  ///< the site's own
    };
    /// The limits of another configuration, before workers see it. A limit that stays on keeps its buckets, which
    /// follow it at once; one that was off, or whose site was not there, begins with full ones.
    void set_rates(const std::vector<conf::Site>& sites, std::chrono::nanoseconds now);
    /// Locks: when a configuration is bound.
    Rates rates_of(const std::string& site) const;

    // ---- what others tell
    /// A change in what one worker holds.
    void add_requests(std::int64_t change) noexcept { requests_.fetch_add(change, std::memory_order_relaxed); }
    void add_origin_connections(std::int64_t change) noexcept {
        origin_connections_.fetch_add(change, std::memory_order_relaxed);
    }
    void set_memory(std::uint64_t bytes) noexcept { memory_.store(bytes, std::memory_order_relaxed); }
    std::uint64_t step() const noexcept { return step_.load(std::memory_order_relaxed); }
    std::uint64_t memory_limit() const noexcept { return limit(Resource::memory); }

    /// In percent of the limit; 0 without one.
    unsigned load(Resource what) const noexcept;
    /// The edge refuses new connections or requests from any client: other edges should get them. See docs/limits.md.
    bool is_full() const noexcept { return load(Resource::sessions) >= 100 || request_load() >= all_sessions_at; }
    /// Idle origin connections are a luxury: time to close them.
    bool is_tight() const noexcept { return load(Resource::descriptors) >= busy_sessions_at; }
    /// No descriptor is left for another origin connection; the reserve is for probes and the admin listener.
    bool is_out_of_descriptors() const noexcept { return load(Resource::descriptors) >= 100; }

private:
    std::uint64_t used(Resource what) const noexcept;
    std::uint64_t limit(Resource what) const noexcept {
        return most_[static_cast<std::size_t>(what)].load(std::memory_order_relaxed);
    }
    unsigned request_load() const noexcept;
    bool address_is_full(const geo::Address& client) const noexcept;

    AddressHash hash_;
    std::unique_ptr<AddressCounts> counts_ = std::make_unique<AddressCounts>(64);
    std::unique_ptr<RateTable> rates_ = std::make_unique<RateTable>(64);
    std::array<std::atomic<std::uint64_t>, resource_count> most_{};
    std::atomic<std::uint64_t> per_address_{0}, step_{1};
    std::atomic<unsigned> handshake_rate_{0};  ///< per second
    Bucket handshake_bucket_;
    alignas(64) std::atomic<std::int64_t> sessions_{0};
    std::atomic<std::int64_t> handshakes_{0};
    alignas(64) std::atomic<std::int64_t> requests_{0};
    std::atomic<std::int64_t> origin_connections_{0};
    std::atomic<std::uint64_t> memory_{0};
    mutable std::mutex mutex_;
    std::map<std::string, Rates> rates_of_;  // guarded by mutex_
    std::uint64_t scopes_ = 0;               // guarded by mutex_; given so far
};

}  // namespace nearhop::shared
