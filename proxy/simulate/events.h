#pragma once

#include "health/verdict.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace nearhop::simulate {

using health::TimePoint;
using std::chrono::microseconds;
using std::chrono::milliseconds;

/// Where a scenario's t = 0 lies on the virtual clock: not at the clock's own zero, which elsewhere means "never".
inline constexpr TimePoint origin_of_time{std::chrono::hours{1}};

/// The virtual clock and what is going to happen. Of two events at the same time the one planned first comes first.
class Events {
public:
    explicit Events(TimePoint start) : now_{start} {}

    TimePoint now() const noexcept { return now_; }
    /// Since t = 0; negative before it.
    microseconds time() const noexcept { return std::chrono::duration_cast<microseconds>(now_ - origin_of_time); }

    void at(TimePoint due, std::function<void()> what) {
        queue_.push_back({std::max(due, now_), planned_++, std::move(what)});
        std::push_heap(queue_.begin(), queue_.end(), later);
    }
    template <class Duration>
    void after(Duration wait, std::function<void()> what) {
        at(now_ + wait, std::move(what));
    }

    /// Runs everything up to and at `end`.
    void run_until(TimePoint end) {
        while (!queue_.empty() && queue_.front().due <= end) {
            std::pop_heap(queue_.begin(), queue_.end(), later);
            const Event event = std::move(queue_.back());
            queue_.pop_back();
            now_ = event.due;
            event.what();
        }
        now_ = std::max(now_, end);
    }

private:
    struct Event {
        TimePoint due;
        std::uint64_t planned;
        std::function<void()> what;
    };
    static bool later(const Event& a, const Event& b) noexcept {
        return a.due != b.due ? a.due > b.due : a.planned > b.planned;
    }

    TimePoint now_;
    std::uint64_t planned_ = 0;
    std::vector<Event> queue_;
};

}  // namespace nearhop::simulate
