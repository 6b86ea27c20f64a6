#pragma once

#include "proxy/admin/counters.h"
#include "proxy/exchange/capacity.h"
#include "proxy/exchange/origin_load.h"
#include "proxy/exchange/pins.h"

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

namespace nearhop::admin {

/// What sites are counted under for which there was no row left. No site can have this name.
inline constexpr std::string_view other_sites = "(other)";

/// All counters of the process. Blocks are found by name, so that a reload neither loses nor resets a count, and made
/// for a worker when it asks. Those of sites and origins that the configuration no longer has go once nothing goes on
/// there. Look-ups lock; workers do them when the configuration changes, and once for what they use first.
class Registry {
public:
    explicit Registry(unsigned workers);
    unsigned workers() const noexcept { return static_cast<unsigned>(by_worker_.size()); }
    const std::vector<std::unique_ptr<WorkerCounters>>& all_workers() const noexcept { return by_worker_; }
    WorkerCounters& worker(unsigned index) noexcept { return *by_worker_[index]; }
    const WorkerCounters& worker(unsigned index) const noexcept { return *by_worker_[index]; }

    exchange::Capacity capacity;  ///< counts that limits are judged by

    exchange::Pins pins;  ///< where requests with an Idempotency-Key went

    std::array<Counter, duty_count> task_failures;  ///< by duty; the control thread alone counts them

    Counter log_write_dropped;  ///< access lines that the log's own thread could not write; it alone counts them

    /// Pairs of a site and an origin, and sites, that are counted apart; further ones are `other_sites`.
    void set_most_rows(std::size_t most) noexcept { most_rows_.store(most, std::memory_order_relaxed); }
    std::size_t most_rows() const noexcept { return most_rows_.load(std::memory_order_relaxed); }

    std::shared_ptr<OriginCounters> origin(unsigned worker, const std::string& site, const std::string& origin);
    std::shared_ptr<SiteCounters> site(unsigned worker, const std::string& site);
    std::shared_ptr<PoolCounters> pool(unsigned worker, const std::string& origin);
    std::shared_ptr<exchange::OriginLoad> load(const std::string& origin);  ///< of the process

    /// Forgets what is of no site or origin named here, unless something still goes on there. True when all of it went.
    /// Whoever holds a block that was forgotten counts where nobody looks.
    bool retain(const std::set<std::string_view>& sites, const std::set<std::string_view>& origins);

    /// Visits a copy of the tables, so that a slow scraper holds no lock.
    template <class Key, class Block>
    using Rows = std::map<Key, std::vector<std::shared_ptr<Block>>>;  ///< by worker; null: it has not counted yet
    Rows<std::pair<std::string, std::string>, OriginCounters> origins() const;
    Rows<std::string, SiteCounters> sites() const;
    Rows<std::string, PoolCounters> pools() const;
    std::map<std::string, std::shared_ptr<exchange::OriginLoad>> loads() const;

private:
    std::vector<std::unique_ptr<WorkerCounters>> by_worker_;
    std::atomic<std::size_t> most_rows_{4096};
    mutable std::mutex mutex_;
    Rows<std::pair<std::string, std::string>, OriginCounters> origins_;   // guarded by mutex_
    Rows<std::string, SiteCounters> sites_;                               // guarded by mutex_
    Rows<std::string, PoolCounters> pools_;                               // guarded by mutex_
    std::map<std::string, std::shared_ptr<exchange::OriginLoad>> loads_;  // guarded by mutex_
};

}  // namespace nearhop::admin
