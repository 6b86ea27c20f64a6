#pragma once

#include "proxy/account/counters.h"
#include "proxy/shared/capacity.h"
#include "proxy/shared/origin_load.h"
#include "proxy/shared/pins.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nearhop::shared {

/// What sites are counted under for which there was no row left. No site can have this name.
inline constexpr std::string_view other_sites = "(other)";

/// All counters of the process. Blocks are found by name, so that a reload neither loses nor resets a count, and made
/// for a worker when it asks. Those of sites and origins that the configuration no longer has go once nothing goes on
/// there. Look-ups lock; workers do them when the configuration changes, and once for what they use first.
class Registry {
public:
    explicit Registry(unsigned workers);
    unsigned workers() const noexcept { return static_cast<unsigned>(by_worker_.size()); }
    const std::vector<std::unique_ptr<account::WorkerCounters>>& all_workers() const noexcept { return by_worker_; }
    account::WorkerCounters& worker(unsigned index) noexcept { return *by_worker_[index]; }
    const account::WorkerCounters& worker(unsigned index) const noexcept { return *by_worker_[index]; }

    Capacity capacity;  ///< counts that limits are judged by

    Pins pins;  ///< where requests with an Idempotency-Key went

    std::array<account::Counter, account::duty_count> task_failures;  ///< by duty; the control thread alone counts them

    account::Counter
        log_write_dropped;  ///< access lines that the log's own thread could not write; it alone counts them

    /// Pairs of a site and an origin, and sites, that are counted apart; further ones are `other_sites`.
    void set_most_rows(std::size_t most) noexcept { most_rows_.store(most, std::memory_order_relaxed); }
    std::size_t most_rows() const noexcept { return most_rows_.load(std::memory_order_relaxed); }

    std::shared_ptr<account::OriginCounters> origin(unsigned worker, const std::string& site,
                                                    const std::string& origin);
    std::shared_ptr<account::SiteCounters> site(unsigned worker, const std::string& site);
    std::shared_ptr<account::PoolCounters> pool(unsigned worker, const std::string& origin);
    std::shared_ptr<OriginLoad> load(const std::string& origin);  ///< of the process

    /// Forgets what is of no site or origin named here, unless something still goes on there. True when all of it went.
    /// The counts of a forgotten block that is still held are not shown.
    bool retain(const std::set<std::string_view>& sites, const std::set<std::string_view>& origins);

    /// Visits a copy of the tables, so that a slow scraper holds no lock.
    template <class Key, class Block>
    using Rows = std::map<Key, std::vector<std::shared_ptr<Block>>>;  ///< by worker; null: it has not counted yet
    Rows<std::pair<std::string, std::string>, account::OriginCounters> origins() const;
    Rows<std::string, account::SiteCounters> sites() const;
    Rows<std::string, account::PoolCounters> pools() const;
    std::map<std::string, std::shared_ptr<OriginLoad>> loads() const;

private:
    std::vector<std::unique_ptr<account::WorkerCounters>> by_worker_;
    std::atomic<std::size_t> most_rows_{4096};
    mutable std::mutex mutex_;
    Rows<std::pair<std::string, std::string>, account::OriginCounters> origins_;  // guarded by mutex_
    Rows<std::string, account::SiteCounters> sites_;                              // guarded by mutex_
    Rows<std::string, account::PoolCounters> pools_;                              // guarded by mutex_
    std::map<std::string, std::shared_ptr<OriginLoad>> loads_;                    // guarded by mutex_
};

}  // namespace nearhop::shared
