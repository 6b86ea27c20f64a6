#pragma once

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

struct epoll_event;

namespace boost::asio {
class io_context;
}

namespace nearhop::loop {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using std::chrono::milliseconds;

/// Receives the news that something happened. Spurious calls are allowed: the receiver checks by itself.
class Notify {
public:
    virtual void notify() noexcept = 0;

protected:
    ~Notify() = default;
};

/// A file descriptor's side of the loop.
class Watch {
public:
    /// `events` as epoll gives them. May close descriptors, its own included.
    virtual void on_events(std::uint32_t events) noexcept = 0;

protected:
    ~Watch() = default;
};

namespace detail {
struct Link {
    Link* previous = this;
    Link* next = this;
    bool linked() const noexcept { return next != this; }
    void unlink() noexcept;
    void insert_before(Link& place) noexcept;
};
}  // namespace detail

class Loop;

/// Where one coroutine sleeps. Sockets, timers and other threads' messages notify it; it wakes once per batch of
/// events, whatever their number. One waiter at a time.
class Wake final : public Notify, private detail::Link {
public:
    explicit Wake(Loop& owner) noexcept : loop_{owner} {}
    ~Wake() {
        unlink();
        if (waiter_) waiter_->wake = nullptr;
    }
    Wake(const Wake&) = delete;
    Wake& operator=(const Wake&) = delete;

    void notify() noexcept override;

    /// Suspends until notified; returns at once when a notification came since the last wait.
    auto wait() noexcept {
        struct Awaiter : Waiter {
            using Waiter::Waiter;
            bool await_ready() const noexcept { return std::exchange(wake->pending_, false); }
            void await_suspend(std::coroutine_handle<> waiter) noexcept { enter(waiter); }
            void await_resume() const noexcept { wake->pending_ = false; }
        };
        return Awaiter{*this};
    }
    /// Lets all other ready coroutines run first; resumes in the next batch.
    auto yield() noexcept { return Yield{*this}; }
    /// The same, but only where this batch resumes others too: what they all send then goes out in a row, and a
    /// receiver on this machine is woken once for many (docs/decisions.md has the figures).
    auto yield_if_crowded() noexcept { return YieldIfCrowded{*this}; }
    Loop& loop() const noexcept { return loop_; }

private:
    friend class Loop;
    void resume_next() noexcept;

    /// Lives in the frame that waits and leaves with it: a Task may be dropped while its Wake lives on, and the next
    /// notification must not resume what is gone.
    struct Waiter {
        explicit Waiter(Wake& where) noexcept : wake{&where} {}
        ~Waiter() {
            if (!wake || wake->waiter_ != this) return;
            wake->waiter_ = nullptr;
            wake->unlink();
        }
        Waiter(const Waiter&) = delete;
        Waiter& operator=(const Waiter&) = delete;
        void enter(std::coroutine_handle<> who) noexcept {
            coroutine = who;
            wake->waiter_ = this;
        }

        Wake* wake;  ///< null: it went first
        std::coroutine_handle<> coroutine;
    };

    struct Yield : Waiter {
        using Waiter::Waiter;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> waiter) noexcept {
            enter(waiter);
            wake->resume_next();
        }
        void await_resume() const noexcept {}  // what was notified meanwhile is still pending
    };
    struct YieldIfCrowded : Yield {
        using Yield::Yield;
        bool await_ready() const noexcept;
    };

    Loop& loop_;
    Waiter* waiter_ = nullptr;
    bool pending_ = false;
};

/// A point in time that notifies. Moving it later is a store; it is never exact to better than Loop::tick, and never
/// early. Owned by the one who waits.
class Timer : private detail::Link {
public:
    Timer(Loop& owner, Notify& notify) noexcept : loop_{owner}, notify_{notify} {}
    ~Timer() { unlink(); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    void expires_at(TimePoint due) noexcept;
    void expires_after(milliseconds wait) noexcept;
    void clear() noexcept { due_ = TimePoint::max(); }
    bool expired() const noexcept;
    TimePoint due() const noexcept { return due_; }

private:
    friend class Loop;
    Loop& loop_;
    Notify& notify_;
    TimePoint due_ = TimePoint::max();
    std::int64_t armed_ = 0;  ///< tick of the slot it is linked in, valid while linked
};

/// One thread's event loop: a Boost.Asio io_context, and nested in it as one descriptor the epoll set of the sockets
/// that carry requests (edge-triggered), with a timer wheel beside. Not thread-safe but for post() and stop().
/// docs/decisions.md says why hot sockets do not wait in Asio itself.
class Loop {
public:
    static constexpr milliseconds tick{4};

    Loop();
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    /// Runs until stop(); may run again after that. `after_batch` is called once after every batch of events.
    void run();
    void stop() noexcept;  ///< any thread
    /// Runs `work` on the loop's thread, in order. Any thread. Never on the request path.
    void post(std::function<void()> work);
    void after_batch(std::function<void()> work) { after_batch_ = std::move(work); }
    /// For everything that is not hot: acceptors, signals, resolvers, the control thread. Its handlers run on the
    /// loop's thread between two batches; a Wake that they notify resumes in the batch that follows.
    boost::asio::io_context& context() noexcept;
    /// Calls `failed` with what a handler of context(), posted work or `after_batch` threw (no memory, in most cases),
    /// and goes on. It must not throw. Without it, run() throws what they threw.
    void on_failure(std::function<void(const std::exception&)> failed) { failed_ = std::move(failed); }

    /// Time of the current batch: one clock call per wake-up.
    TimePoint now() const noexcept {
        if (stale_) [[unlikely]]
            refresh();
        return now_;
    }
    /// Whether this batch resumes more than one coroutine.
    bool crowded() const noexcept { return crowded_; }

    /// Registers edge-triggered. `events` are EPOLL* flags without EPOLLET. False with errno set on failure.
    bool watch(int descriptor, std::uint32_t events, Watch& watch) noexcept;
    bool rewatch(int descriptor, std::uint32_t events, Watch& watch) noexcept;
    /// Before the descriptor is closed: also forgets its events of the current batch.
    void unwatch(int descriptor, Watch& watch) noexcept;

private:
    friend class Wake;
    friend class Timer;
    static constexpr int full_batch = 256;      // events of one epoll_wait
    static constexpr std::size_t slots = 1024;  // about four seconds; later timers are looked at once per turn

    std::int64_t tick_of(TimePoint time) const noexcept;
    void arm(Timer& timer) noexcept;
    void run_timers() noexcept;
    TimePoint next_due() const noexcept;
    void refresh() const noexcept;
    int take_events();
    void gather_events();
    void sleep_in_context(TimePoint due);
    void poll_context();
    void run_handlers();
    void resume_ready();
    template <class Work>
    void run_guarded(const Work& work);

    int epoll_;  // of the hot sockets; host_ closes it
    TimePoint start_;
    mutable TimePoint now_;
    mutable bool stale_ = false;  // handlers of the context run: who asks first reads the clock
    std::int64_t current_ = 0;    // tick up to which timers have run
    std::vector<detail::Link> wheel_;
    std::vector<std::uint64_t> busy_;  // one bit per slot that may hold timers
    detail::Link ready_;
    std::span<epoll_event> batch_;
    bool look_first_ = false;  // hot sockets had work lately: it is cheaper to look than to sleep
    TimePoint polled_;         // when handlers of the context had their last turn
    bool crowded_ = false;
    std::function<void()> after_batch_;
    std::function<void(const std::exception&)> failed_;
    std::atomic<bool> stopped_{false};
    struct Host;                  // what Asio does for the loop
    std::unique_ptr<Host> host_;  // last: what its handlers hold may use all of the above
};

inline bool Wake::YieldIfCrowded::await_ready() const noexcept { return !wake->loop_.crowded(); }

}  // namespace nearhop::loop
