#include "proxy/loop/loop.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace nearhop::loop {

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
    : epoll_{epoll_create1(EPOLL_CLOEXEC)},
      wakeup_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)},
      start_{Clock::now()},
      now_{start_},
      wheel_(slots),
      busy_(slots / 64) {
    if (epoll_ < 0 || wakeup_ < 0) throw std::system_error{errno, std::generic_category(), "event loop"};
    epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, wakeup_, &event);
}

Loop::~Loop() {
    close(wakeup_);
    close(epoll_);
}

void Loop::stop() noexcept {
    stopped_.store(true, std::memory_order_release);
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(wakeup_, &one, sizeof one);
}

void Loop::post(std::function<void()> work) {
    {
        const std::lock_guard lock{mutex_};
        mail_.push_back(std::move(work));
    }
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(wakeup_, &one, sizeof one);
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

/// How many events there were and are noted now; negative: the wait was interrupted.
int Loop::take_events(int wait) {
    std::array<epoll_event, full_batch> events;
    const int count = epoll_wait(epoll_, events.data(), full_batch, wait);
    if (count < 0) return count;
    now_ = Clock::now();
    batch_ = {events.data(), static_cast<std::size_t>(count)};
    for (auto& event : batch_) {
        if (event.data.ptr == nullptr)
            mail_came_ = true;
        else if (event.events != 0)
            static_cast<Watch*>(event.data.ptr)->on_events(event.events);
    }
    batch_ = {};
    return count;
}

void Loop::run() {
    constexpr milliseconds stood_still{100};
    constexpr int most_looks = 16;
    while (!stopped_.load(std::memory_order_acquire)) {
        const auto before = now_;
        const int wait = wait_milliseconds();
        int count = take_events(wait);
        if (count < 0) continue;
        // After SIGCONT, or on a starved core, these events are old ones while the time is new: whoever compares it
        // with a deadline must know what has arrived since, or calls an answer late that has come.
        const bool late = wait >= 0 && now_ > before + milliseconds{wait} + stood_still;
        for (int looks = 0; (count == full_batch || (late && looks == 0)) && looks < most_looks; ++looks)
            count = take_events(0);
        if (std::exchange(mail_came_, false)) {
            std::uint64_t ignored = 0;
            [[maybe_unused]] const auto drained = read(wakeup_, &ignored, sizeof ignored);
            std::vector<std::function<void()>> work;
            {
                const std::lock_guard lock{mutex_};
                work.swap(mail_);
            }
            for (const auto& item : work) run_guarded(item);
        }
        run_timers();
        resume_ready();
        if (after_batch_) run_guarded(after_batch_);
    }
}

void Loop::run_guarded(const std::function<void()>& work) {
    try {
        work();
    } catch (const std::exception& error) {
        if (!failed_) throw;
        failed_(error);
    }
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

int Loop::wait_milliseconds() const noexcept {
    if (ready_.linked()) return 0;
    const auto first = static_cast<std::size_t>(current_ + 1) % slots;
    for (std::size_t step = 0; step < slots;) {
        const std::size_t slot = (first + step) % slots;
        const std::uint64_t word = busy_[slot / 64] >> (slot % 64);
        if (word == 0) {
            step += 64 - slot % 64;
            continue;
        }
        step += static_cast<std::size_t>(std::countr_zero(word));
        const auto due = start_ + (current_ + 1 + static_cast<std::int64_t>(step)) * tick;
        return static_cast<int>(std::max<std::int64_t>(0, std::chrono::ceil<milliseconds>(due - Clock::now()).count()));
    }
    return -1;
}

}  // namespace nearhop::loop
