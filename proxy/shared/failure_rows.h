#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace nearhop::shared {

/// Whether failures of one origin are being counted somewhere: only then is a success worth a report. For all
/// workers together: a row of failures ends with the next success of any worker. A request that succeeds reads one
/// flag.
class FailureRows {
public:
    void failed() noexcept { open_.store(true, std::memory_order_relaxed); }
    /// True for the one success that ends a row.
    bool succeeded() noexcept {
        return open_.load(std::memory_order_relaxed) && open_.exchange(false, std::memory_order_relaxed);
    }

    /// The same for dials of one address. They are rare enough for a lock, and where nothing failed there is none.
    void failed(const std::string& address) {
        const std::lock_guard lock{mutex_};
        if (addresses_.size() >= most_addresses) return;
        addresses_.insert(address);
        any_.store(true, std::memory_order_relaxed);
    }
    bool succeeded(const std::string& address) {
        if (!any_.load(std::memory_order_relaxed)) return false;
        const std::lock_guard lock{mutex_};
        const bool ended = addresses_.erase(address) != 0;
        any_.store(!addresses_.empty(), std::memory_order_relaxed);
        return ended;
    }

    /// The origin has these addresses now: failures of others no longer matter.
    void retain(const std::vector<std::string>& addresses) {
        const std::lock_guard lock{mutex_};
        std::erase_if(addresses_, [&](const std::string& known) {
            return std::find(addresses.begin(), addresses.end(), known) == addresses.end();
        });
        any_.store(!addresses_.empty(), std::memory_order_relaxed);
    }

private:
    static constexpr std::size_t most_addresses = 256;
    std::atomic<bool> open_{false};
    std::atomic<bool> any_{false};
    std::mutex mutex_;
    std::set<std::string> addresses_;  // guarded by mutex_
};

}  // namespace nearhop::shared
