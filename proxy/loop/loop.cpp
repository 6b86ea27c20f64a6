#include "proxy/loop/loop.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <sys/epoll.h>
#include <system_error>
#include <utility>

namespace nearhop::loop {

namespace asio = boost::asio;

struct Loop::Host {
    explicit Host(int epoll) : hot{context, epoll} {}

    asio::io_context context{1};
    // Without it an idle context counts as finished, and waiting for it would return at once, for ever.
    asio::executor_work_guard<asio::io_context::executor_type> guard{context.get_executor()};
    asio::posix::stream_descriptor hot;
    asio::steady_timer alarm{context};
    bool awaits_hot = false;
    bool awaits_alarm = false;
};

void detail::Link::unlink() noexcept {
    previous->next = next;
    next->previous = previous;
    previous = next = this;
}

void detail::Link::insert_before(Link& place) noexcept {
    previous = place.previous;
    next = &place;
    place.previous->next = this;
    place.previous = this;
}

void Wake::notify() noexcept {
    pending_ = true;
    if (waiter_) resume_next();
}

void Wake::resume_next() noexcept {
    if (!linked()) insert_before(loop_.ready_);
}

void Timer::expires_after(milliseconds wait) noexcept { expires_at(loop_.now() + wait); }

void Timer::expires_at(TimePoint due) noexcept {
    due_ = due;
    // A later time needs nothing: the slot it sits in looks at due_ and moves it on.
    if (!linked() || loop_.tick_of(due) < armed_) loop_.arm(*this);
}

bool Timer::expired() const noexcept { return due_ <= loop_.now(); }

Loop::Loop()
    : epoll_{epoll_create1(EPOLL_CLOEXEC)}, start_{Clock::now()}, now_{start_}, wheel_(slots), busy_(slots / 64) {
    if (epoll_ < 0) throw std::system_error{errno, std::generic_category(), "event loop"};
    host_ = std::make_unique<Host>(epoll_);
}

Loop::~Loop() = default;

asio::io_context& Loop::context() noexcept { return host_->context; }

void Loop::stop() noexcept {
    host_->context.stop();  // first: once run() sees the flag it makes the context ready for another run
    stopped_.store(true, std::memory_order_release);
}

void Loop::post(std::function<void()> work) { asio::post(host_->context, std::move(work)); }

void Loop::refresh() const noexcept {
    now_ = Clock::now();
    stale_ = false;
}

bool Loop::watch(int descriptor, std::uint32_t events, Watch& watch) noexcept {
    epoll_event event{.events = events | EPOLLET, .data = {.ptr = &watch}};
    return epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

bool Loop::rewatch(int descriptor, std::uint32_t events, Watch& watch) noexcept {
    epoll_event event{.events = events | EPOLLET, .data = {.ptr = &watch}};
    return epoll_ctl(epoll_, EPOLL_CTL_MOD, descriptor, &event) == 0;
}

void Loop::unwatch(int descriptor, Watch& watch) noexcept {
    // Closing removes the descriptor from epoll by itself, unless a child process shares it; ours never do.
    (void)descriptor;
    for (auto& event : batch_)
        if (event.data.ptr == &watch) event.events = 0;
}

/// How many hot sockets have news, which are noted now.
int Loop::take_events() {
    std::array<epoll_event, full_batch> events;
    const int count = std::max(0, epoll_wait(epoll_, events.data(), full_batch, 0));
    refresh();
    batch_ = {events.data(), static_cast<std::size_t>(count)};
    for (auto& event : batch_)
        if (event.events != 0) static_cast<Watch*>(event.data.ptr)->on_events(event.events);
    batch_ = {};
    return count;
}

/// A handler or a batch's end that throws ends nothing but itself.
template <class Work>
void Loop::run_guarded(const Work& work) {
    try {
        work();
    } catch (const std::exception& error) {
        if (!failed_) throw;
        failed_(error);
    }
}

/// One batch of hot events: looked for first while there is work, waited for in the context otherwise.
void Loop::gather_events() {
    constexpr milliseconds stood_still{100};
    constexpr int most_looks = 16;
    int count = 0;
    bool late = false;
    if (ready_.linked() || look_first_) count = take_events();
    if (count == 0 && !ready_.linked()) {
        const auto due = next_due();
        sleep_in_context(due);
        // If a handler ended the sleep and the hot set has not reported, its events can wait for their turn.
        if (!host_->awaits_hot || now() >= due) count = take_events();
        // After SIGCONT, or on a starved core, these events are old while the time is new: a comparison with a deadline
        // must know what has arrived since, or it calls an answer late that has come.
        late = due != TimePoint::max() && now_ > due + stood_still;
        if (late) run_handlers();
        look_first_ = count > 1;
    } else {
        look_first_ = count > 0;
        poll_context();
    }
    for (int looks = 0; (count == full_batch || (late && looks == 0)) && looks < most_looks; ++looks)
        count = take_events();
}

/// Waits until there are hot events, a timer is `due` or a handler has run.
void Loop::sleep_in_context(TimePoint due) {
    run_guarded([this, due] {
        auto& host = *host_;
        // An alarm that rings too early costs one turn, to move it costs more: only an earlier time moves it.
        if (due != TimePoint::max() && (!host.awaits_alarm || due < host.alarm.expiry())) {
            host.awaits_alarm = false;  // where the next lines find no memory
            host.alarm.expires_at(due);
            host.alarm.async_wait([&host](const boost::system::error_code& error) {
                if (!error) host.awaits_alarm = false;  // else it was moved, and another wait has taken over
            });
            host.awaits_alarm = true;
        }
        if (!host.awaits_hot)
            host.hot.async_wait(asio::posix::stream_descriptor::wait_read,
                                [&host](const boost::system::error_code&) { host.awaits_hot = false; });
        host.awaits_hot = true;
        stale_ = true;  // handlers decide nothing by the time that was before
        host.context.run_one();
    });
    polled_ = now();
}

/// While hot sockets keep the loop awake, handlers have a turn once a tick: acceptors and posted work must not starve.
void Loop::poll_context() {
    if (now_ - polled_ >= tick) run_handlers();
}

/// Those that are ready, but not without end: each may post the next, and hot sockets must not starve either.
void Loop::run_handlers() {
    constexpr int most_handlers = 64;
    stale_ = true;
    run_guarded([this] {
        for (int i = 0; i < most_handlers && host_->context.poll_one() != 0;) ++i;
    });
    polled_ = now();
}

void Loop::run() {
    while (!stopped_.load(std::memory_order_acquire)) {
        gather_events();
        run_timers();
        resume_ready();
        if (after_batch_) run_guarded(after_batch_);
    }
    stopped_.store(false, std::memory_order_relaxed);
    host_->context.restart();
}

void Loop::resume_ready() {
    // Only what is ready now: a coroutine that makes itself ready again waits for the next batch.
    detail::Link now;
    while (ready_.linked()) {
        detail::Link* link = ready_.next;
        link->unlink();
        link->insert_before(now);
    }
    crowded_ = now.next != now.previous;
    while (now.linked()) {
        auto* wake = static_cast<Wake*>(now.next);
        wake->unlink();
        std::exchange(wake->waiter_, nullptr)->coroutine.resume();
    }
}

std::int64_t Loop::tick_of(TimePoint time) const noexcept {
    if (time == TimePoint::max()) return INT64_MAX;
    return std::chrono::ceil<milliseconds>(time - start_) / tick + 1;
}

void Loop::arm(Timer& timer) noexcept {
    timer.unlink();
    if (timer.due_ == TimePoint::max()) return;
    const auto earliest = current_ + 1;
    timer.armed_ = std::clamp(tick_of(timer.due_), earliest, earliest + static_cast<std::int64_t>(slots) - 2);
    const auto slot = static_cast<std::size_t>(timer.armed_) % slots;
    timer.insert_before(wheel_[slot]);
    busy_[slot / 64] |= std::uint64_t{1} << (slot % 64);
}

void Loop::run_timers() noexcept {
    const std::int64_t target = (now_ - start_) / tick;
    // After a stall longer than the wheel, one full turn sees every slot.
    current_ = std::max(current_, target - static_cast<std::int64_t>(slots));
    while (current_ < target) {
        ++current_;
        const auto slot = static_cast<std::size_t>(current_) % slots;
        if ((busy_[slot / 64] >> (slot % 64) & 1) == 0) continue;
        busy_[slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
        detail::Link due;
        while (wheel_[slot].linked()) {
            detail::Link* link = wheel_[slot].next;
            link->unlink();
            link->insert_before(due);
        }
        while (due.linked()) {
            auto* timer = static_cast<Timer*>(due.next);
            timer->unlink();
            if (timer->due_ <= now_)
                timer->notify_.notify();
            else
                arm(*timer);
        }
    }
}

/// When the first busy slot of the wheel has to be looked at; max: there is none.
TimePoint Loop::next_due() const noexcept {
    const auto first = static_cast<std::size_t>(current_ + 1) % slots;
    for (std::size_t step = 0; step < slots;) {
        const std::size_t slot = (first + step) % slots;
        const std::uint64_t word = busy_[slot / 64] >> (slot % 64);
        if (word == 0) {
            step += 64 - slot % 64;
            continue;
        }
        step += static_cast<std::size_t>(std::countr_zero(word));
        return start_ + (current_ + 1 + static_cast<std::int64_t>(step)) * tick;
    }
    return TimePoint::max();
}

}  // namespace nearhop::loop
