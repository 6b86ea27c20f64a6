#pragma once

#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace nearhop::loop {

/// What coroutines of one loop may do one at a time only. Who waits longest goes first.
class Turn {
public:
    explicit Turn(Loop& loop) noexcept : loop_{loop} {}
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    /// Gives the turn back when it goes. Must not outlive the Turn.
    class Held {
    public:
        explicit Held(Turn& turn) noexcept : turn_{&turn} {}
        Held(Held&& other) noexcept : turn_{std::exchange(other.turn_, nullptr)} {}
        Held& operator=(Held&&) = delete;
        ~Held() {
            if (!turn_) return;
            turn_->taken_ = false;
            if (!turn_->waiting_.empty()) turn_->waiting_.front()->notify();
        }

    private:
        Turn* turn_;
    };

    Task<Held> take() {
        if (taken_) {
            Wake wake{loop_};
            waiting_.push_back(&wake);
            struct Leave {
                Turn& turn;
                Wake& wake;
                ~Leave() { std::erase(turn.waiting_, &wake); }
            } const leave{*this, wake};
            while (taken_ || waiting_.front() != &wake) co_await wake.wait();
            taken_ = true;
            co_return Held{*this};
        }
        taken_ = true;
        co_return Held{*this};
    }
    bool is_taken() const noexcept { return taken_; }

private:
    Loop& loop_;
    bool taken_ = false;
    std::vector<Wake*> waiting_;
};

}  // namespace nearhop::loop
