#pragma once

#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace nearhop::loop {

/// A section that coroutines of one loop enter one at a time. The longest waiter goes first.
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
            turn_->pass_on();
        }

    private:
        Turn* turn_;
    };

    Task<Held> take() {
        if (taken_ || !waiting_.empty()) {
            Wake wake{loop_};
            waiting_.push_back(&wake);
            struct Leave {
                Turn& turn;
                Wake& wake;
                ~Leave() {
                    std::erase(turn.waiting_, &wake);
                    turn.pass_on();  // its turn may have come as it was dropped
                }
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
    void pass_on() noexcept {
        if (!taken_ && !waiting_.empty()) waiting_.front()->notify();
    }

    Loop& loop_;
    bool taken_ = false;
    std::vector<Wake*> waiting_;
};

}  // namespace nearhop::loop
