#pragma once

#include "proxy/loop/loop.h"
#include "proxy/shared/failure_rows.h"
#include "proxy/shared/lost_paths.h"

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

namespace nearhop::shared {

/// What all workers together have in flight at one origin that has a `capacity`, and who waits for room. In flight is
/// one atomic word: exact, whatever the number of workers. The queue has a lock, which nobody touches unless the origin
/// is at its capacity (docs/decisions.md). An origin without a capacity has no load that anybody asks for.
/// Beside it stands what workers and the control thread tell one another of the origin: stalls, probes, lost paths.
class OriginLoad {
public:
    /// One request's share of the capacity; gives it back, to the one who waits longest.
    class Slot {
    public:
        Slot() = default;
        Slot(Slot&& other) noexcept : load_{std::exchange(other.load_, nullptr)}, here_{other.here_} {}
        Slot& operator=(Slot&& other) noexcept {
            release();
            load_ = std::exchange(other.load_, nullptr);
            here_ = other.here_;
            return *this;
        }
        ~Slot() { release(); }
        explicit operator bool() const noexcept { return load_ != nullptr; }
        void release() noexcept {
            if (load_) std::exchange(load_, nullptr)->leave(here_);
        }

    private:
        friend class OriginLoad;
        Slot(OriginLoad& load, const loop::Loop* here) noexcept : load_{&load}, here_{here} {}
        OriginLoad* load_ = nullptr;
        const loop::Loop* here_ = nullptr;  ///< of the worker that holds it
    };

    /// A place in the queue of one exchange, which is notified when its turn has come. Destroyed: it has left.
    class Waiter {
    public:
        Waiter(OriginLoad& load, loop::Wake& wake);
        ~Waiter();
        Waiter(const Waiter&) = delete;
        Waiter& operator=(const Waiter&) = delete;
        bool refused() const noexcept { return !ticket_; }  ///< the queue is full
        /// Empty until its turn has come.
        Slot take() noexcept;

    private:
        friend class OriginLoad;
        struct Ticket {
            Ticket(loop::Loop& its_loop, loop::Wake& its_wake) noexcept : loop{its_loop}, wake{&its_wake} {}
            loop::Loop& loop;
            loop::Wake* wake;  ///< touched on the loop's own thread only; null when the waiter is gone
            std::atomic<bool> granted{false};
        };
        OriginLoad& load_;
        std::shared_ptr<Ticket> ticket_;
    };

    /// Limits in force, 0: none. Any thread; waiting requests are notified of more room.
    void set(unsigned capacity, unsigned queue) noexcept;

    /// Empty when there is no room, or others wait for it already.
    Slot enter(const loop::Loop& here) noexcept { return queued_.load() == 0 && take() ? Slot{*this, &here} : Slot{}; }
    bool is_busy() const noexcept {
        const auto capacity = capacity_.load(std::memory_order_relaxed);
        return capacity != 0 && std::uint64_t{in_flight()} * 100 >= std::uint64_t{capacity} * soft_percent;
    }
    bool is_full() const noexcept {
        const auto capacity = capacity_.load(std::memory_order_relaxed);
        return capacity != 0 && (in_flight() >= capacity || queued() != 0);
    }

    unsigned capacity() const noexcept { return capacity_.load(std::memory_order_relaxed); }
    unsigned in_flight() const noexcept { return in_flight_.load(std::memory_order_relaxed); }
    unsigned queued() const noexcept { return queued_.load(std::memory_order_relaxed); }

    /// Whether no worker has said within the last moment that requests to this origin wait in vain: they all notice at
    /// once, and one pause must not count as often as there are workers.
    bool first_to_report_stall(loop::TimePoint now) noexcept {
        constexpr std::int64_t apart = 500'000'000;  // nanoseconds
        const std::int64_t time = std::chrono::nanoseconds{now.time_since_epoch()}.count();
        std::int64_t last = stall_reported_.load(std::memory_order_relaxed);
        return time - last >= apart && stall_reported_.compare_exchange_strong(last, time, std::memory_order_relaxed);
    }

    /// The control thread tells when the last probe that passed was begun: while requests wait without an answer, the
    /// one sign that tells a slow origin from a dead one.
    void tell_probe_passed(loop::TimePoint began) noexcept {
        probe_passed_.store(std::chrono::nanoseconds{began.time_since_epoch()}.count(), std::memory_order_relaxed);
    }
    bool probe_passed_since(loop::TimePoint time) const noexcept {
        return probe_passed_.load(std::memory_order_relaxed) >=
               std::chrono::nanoseconds{time.time_since_epoch()}.count();
    }

    /// Whether to ask for a probe on behalf of a request that was sent then: nobody has since, nor within the last
    /// moment for another one.
    bool first_to_want_probe(loop::TimePoint sent, loop::TimePoint now) noexcept {
        constexpr std::int64_t apart = 500'000'000;  // nanoseconds
        const std::int64_t time = std::chrono::nanoseconds{now.time_since_epoch()}.count();
        std::int64_t last = probe_wanted_.load(std::memory_order_relaxed);
        return last < std::chrono::nanoseconds{sent.time_since_epoch()}.count() && time - last >= apart &&
               probe_wanted_.compare_exchange_strong(last, time, std::memory_order_relaxed);
    }

    FailureRows rows;  ///< of attempts and dials, whichever worker made them
    LostPaths lost;    ///< found by all workers and probes: one's loss is evidence for who waits on another

    static constexpr unsigned soft_percent = 80;
    // Rare, and counted by any worker.
    std::atomic<std::uint64_t> refused_at_once{0}, refused_later{0}, waited{0};

private:
    bool take() noexcept;
    void leave(const loop::Loop* here) noexcept;
    void pass_on(const loop::Loop* here) noexcept;

    // One line: every request reads all three.
    alignas(64) std::atomic<unsigned> in_flight_{0};
    std::atomic<unsigned> queued_{0};
    std::atomic<unsigned> capacity_{0};
    std::atomic<std::int64_t> stall_reported_{0};
    std::atomic<std::int64_t> probe_passed_{0};
    std::atomic<std::int64_t> probe_wanted_{0};
    unsigned most_queued_ = 100;  // guarded by mutex_
    std::mutex mutex_;
    std::deque<std::shared_ptr<Waiter::Ticket>> queue_;  // guarded by mutex_; longest wait first
};

}  // namespace nearhop::shared
