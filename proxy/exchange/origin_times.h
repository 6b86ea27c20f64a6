#pragma once

#include "proxy/loop/loop.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

/// What one worker learns of one origin from the times of its answers. Pure; times are arguments.
namespace nearhop::exchange {

/// Times from request to response head in buckets of a quarter octave (19 % wide), old ones fading: quantiles without
/// keeping samples. A few nanoseconds per answer.
class HeadTimes {
public:
    static constexpr unsigned enough = 100;  ///< samples before the p95 means anything
    static constexpr unsigned few = 30;      ///< and the p99: that of so few is the slowest of them

    void add(loop::Clock::duration time) noexcept {
        const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
        ++counts_[bucket_of(static_cast<std::uint64_t>(std::max<std::int64_t>(micros, 0)))];
        if (++total_ >= fade_at) fade();
        if (total_ % refresh_every == 0 || total_ == enough || total_ == few) refresh();
    }
    bool known() const noexcept { return p99_ != loop::Clock::duration::zero(); }
    loop::Clock::duration p95() const noexcept { return p95_; }  ///< upper end of its bucket; zero: too few samples
    loop::Clock::duration p99() const noexcept { return p99_; }

private:
    static constexpr std::size_t buckets = 96;  // up to a minute and more
    static constexpr unsigned fade_at = 4096, refresh_every = 64;

    static std::size_t bucket_of(std::uint64_t micros) noexcept {
        const std::uint64_t value = std::max<std::uint64_t>(micros, 16);
        const auto octave = static_cast<std::size_t>(std::bit_width(value)) - 1;
        return std::min((octave - 4) * 4 + ((value >> (octave - 2)) & 3), buckets - 1);
    }
    static loop::Clock::duration end_of(std::size_t bucket) noexcept {
        return std::chrono::microseconds{(5 + bucket % 4) << (bucket / 4 + 2)};
    }
    void fade() noexcept {
        total_ = 0;
        for (auto& count : counts_) total_ += count /= 2;
    }
    void refresh() noexcept {
        if (total_ < few) return;
        unsigned below = 0;
        p95_ = p99_ = loop::Clock::duration::zero();
        for (std::size_t i = 0; i < buckets && p99_ == loop::Clock::duration::zero(); ++i) {
            below += counts_[i];
            if (total_ >= enough && p95_ == loop::Clock::duration::zero() && below * 100 >= total_ * 95)
                p95_ = end_of(i);
            if (below * 100 >= total_ * 99) p99_ = end_of(i);
        }
    }

    std::array<std::uint16_t, buckets> counts_{};
    unsigned total_ = 0;
    loop::Clock::duration p95_{0}, p99_{0};
};

/// Notices that an origin has fallen silent: accepts, takes requests, and says nothing (a stopped process, a lost
/// route with connections that stand). The sign is that `few` requests or more are all older than
/// max(floor, 3 x the origin's p99, 5 x the mean time between its answers) and nothing has come back since the youngest
/// of them began. One slow path among others is no sign, since others' answers keep coming; nor is a slow path that is
/// asked alone, since then answers are rare and the third bound is long.
class Silence {
public:
    static constexpr std::size_t few = 3;

    /// One exchange that waits for a response head. Destroyed: it waits no more.
    class Waiter {
    public:
        Waiter() = default;
        ~Waiter() { leave(); }
        Waiter(const Waiter&) = delete;
        Waiter& operator=(const Waiter&) = delete;
        bool waits() const noexcept { return silence_ != nullptr; }
        loop::TimePoint since() const noexcept { return since_; }
        void join(Silence& silence, loop::Notify& notify, loop::TimePoint since) {
            leave();
            silence_ = &silence;
            notify_ = &notify;
            since_ = since;
            at_ = silence.waiters_.size();
            silence.waiters_.push_back(this);
        }
        void leave() noexcept {
            if (!silence_) return;
            auto& all = silence_->waiters_;
            all[at_] = all.back();
            all[at_]->at_ = at_;
            all.pop_back();
            silence_ = nullptr;
        }
        /// The origin was found silent while this one waited, and has been since. Also where it began before the last
        /// sign of life: it is no proof then, but nothing better is to come.
        bool in_vain() const noexcept {
            return silence_ && silence_->found_ >= since_ && silence_->last_ < silence_->found_;
        }

    private:
        friend class Silence;
        Silence* silence_ = nullptr;
        loop::Notify* notify_ = nullptr;
        loop::TimePoint since_{};
        std::size_t at_ = 0;
    };

    /// A response head came.
    void answered(loop::TimePoint now) noexcept {
        if (answer_ != loop::TimePoint{}) gap_ += (now - answer_ - gap_) / 16;
        answer_ = now;
        heard(now);
    }
    /// Anything else came: an interim response, bytes of a body.
    void heard(loop::TimePoint now) noexcept { last_ = std::max(last_, now); }

    /// A hedge answered first: who waited here waits no more, and yet nothing had come back to it.
    void gave_up(loop::TimePoint since) noexcept {
        if (!is_sign(since)) return;
        const auto spent = std::find_if(given_up_.begin(), given_up_.end(), [&](auto time) { return !is_sign(time); });
        if (spent != given_up_.end()) *spent = since;
    }
    /// Whether those who wait may be a sign: then each looks when its patience is over.
    bool may_be_found() const noexcept { return waiters_.size() >= needed(); }
    /// A silence was found and nothing has come back since; found_at(): the last time that it was found.
    bool goes_on() const noexcept { return last_ < found_; }
    loop::TimePoint found_at() const noexcept { return found_; }
    std::size_t waiting() const noexcept { return waiters_.size(); }
    loop::Clock::duration patience(loop::Clock::duration floor, const HeadTimes& times) const noexcept {
        return std::max({floor, 3 * times.p99(), 5 * gap_});
    }
    /// Whether it is silent now; then all waiting requests are notified, and no longer count: the next finding needs
    /// others. False while too little is known of the origin.
    bool found(loop::TimePoint now, loop::Clock::duration floor, const HeadTimes& times) noexcept {
        if (!times.known() || answer_ == loop::TimePoint{}) return false;
        const auto before = now - patience(floor, times);
        const auto counts = [&](loop::TimePoint since) { return is_sign(since) && since <= before; };
        const auto in_vain = std::count_if(waiters_.begin(), waiters_.end(),
                                           [&](const Waiter* waiter) { return counts(waiter->since_); }) +
                             std::count_if(given_up_.begin(), given_up_.end(), counts);
        if (static_cast<std::size_t>(in_vain) < needed()) return false;
        found_ = now;
        for (const Waiter* waiter : waiters_) waiter->notify_->notify();
        return true;
    }

private:
    /// A silence that was found and has not been broken needs no second proof: the first request that is sent there
    /// again, after the moment for which it was passed over, tells.
    std::size_t needed() const noexcept { return goes_on() ? 1 : few; }

    bool is_sign(loop::TimePoint since) const noexcept { return since >= last_ && since > found_; }

    std::vector<Waiter*> waiters_;
    std::array<loop::TimePoint, few> given_up_{};
    loop::TimePoint last_{};    ///< something came back
    loop::TimePoint answer_{};  ///< a head came back
    loop::TimePoint found_{};
    loop::Clock::duration gap_{0};  ///< mean time between answers
};

struct OriginTimes {
    HeadTimes heads;
    Silence silence;
};

}  // namespace nearhop::exchange
