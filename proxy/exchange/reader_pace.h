#pragma once

#include "proxy/loop/loop.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace nearhop::exchange {

/// Judges a client by what it takes of an answer, over the time in which it is the one awaited. It may take nothing for
/// one `window`; each `rate` bytes that it takes are good for a second more, up to twelve windows ahead. So a steady
/// reader of `rate` is never too slow, although TCP tells of what an application reads in steps of a sixteenth of its
/// buffer or more, minutes apart: 64 KiB at 100 B/s are eleven. With a rate of 0 any byte is good for a whole window.
class ReaderPace {
public:
    struct Taken {
        std::uint64_t bytes = 0;  ///< that the client's system has; a running total
        bool is_lost = false;     ///< nothing comes back from there
    };

    /// An answer begins; `taken` is the total before it.
    void begin(std::uint64_t taken, loop::milliseconds window, std::uint64_t rate) noexcept {
        *this = ReaderPace{};
        seen_ = taken;
        rate_ = rate;
        left_ = window_ = window;
    }
    /// Whether it is the client that is awaited from now on. While it is not, its time stands still.
    void await(bool client, loop::TimePoint now) noexcept {
        if (std::exchange(awaited_, client) == client) return;
        if (!client) {
            left_ = due_ - now;
            return;
        }
        due_ = now + left_;
        look_ = std::min(due_, now + window_);
    }
    /// When to ask again.
    loop::TimePoint due() const noexcept { return look_; }
    /// Of a client that is awaited. `ask()` gives its Taken: once a window, since that may cost a system call.
    template <class Ask>
    bool is_too_slow(loop::TimePoint now, Ask ask) {
        if (now < look_) return false;
        const Taken taken = ask();
        const std::uint64_t moved = taken.bytes - std::min(taken.bytes, seen_);
        seen_ += moved;
        if (moved == 0 && (taken.is_lost || now >= due_)) return true;
        if (moved != 0) due_ = rate_ == 0 ? now + window_ : extended(now, moved);
        look_ = std::min(due_, now + window_);
        return now >= due_;
    }

private:
    static constexpr int most_windows = 12;

    loop::TimePoint extended(loop::TimePoint now, std::uint64_t moved) const noexcept {
        const auto most = now + most_windows * window_;
        // In doubles until it is known to fit.
        const std::chrono::duration<double> worth{static_cast<double>(moved) / static_cast<double>(rate_)};
        return worth >= most - due_ ? std::max(most, due_)
                                    : due_ + std::chrono::duration_cast<loop::Clock::duration>(worth);
    }

    std::uint64_t seen_ = 0, rate_ = 0;
    loop::milliseconds window_{};
    loop::Clock::duration left_{};  ///< while nobody awaits the client
    loop::TimePoint due_{}, look_{};
    bool awaited_ = false;
};

}  // namespace nearhop::exchange
