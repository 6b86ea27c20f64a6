#include "proxy/shared/origin_load.h"

#include <algorithm>
#include <new>

namespace nearhop::shared {

bool OriginLoad::take() noexcept {
    const unsigned capacity = capacity_.load(std::memory_order_relaxed);
    unsigned now = in_flight_.load();
    while (capacity == 0 || now < capacity)
        if (in_flight_.compare_exchange_weak(now, now + 1)) return true;
    return false;
}

// Who leaves looks at the queue behind having left; who joins it looks for room behind having joined. So one of the two
// sees the other, and nobody waits for room that is there already.
void OriginLoad::leave(const loop::Loop* here) noexcept {
    in_flight_.fetch_sub(1);
    if (queued_.load() != 0) pass_on(here);
}

void OriginLoad::pass_on(const loop::Loop* here) noexcept {
    const std::lock_guard lock{mutex_};
    while (!queue_.empty() && take()) {
        const auto ticket = std::move(queue_.front());
        queue_.pop_front();
        queued_.fetch_sub(1);
        ticket->granted.store(true, std::memory_order_release);
        if (&ticket->loop == here) {
            ticket->wake->notify();
            continue;
        }
        try {
            ticket->loop.post([ticket] {
                if (ticket->wake) ticket->wake->notify();
            });
        } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it finds its turn when its time is over
        }
    }
}

void OriginLoad::set(unsigned capacity, unsigned queue) noexcept {
    capacity_.store(capacity, std::memory_order_relaxed);
    {
        const std::lock_guard lock{mutex_};
        most_queued_ = queue;
    }
    pass_on(nullptr);
}

OriginLoad::Waiter::Waiter(OriginLoad& load, loop::Wake& wake) : load_{load} {
    auto ticket = std::make_shared<Ticket>(wake.loop(), wake);
    const std::lock_guard lock{load.mutex_};
    if (load.queue_.size() >= load.most_queued_) return;
    load.queued_.fetch_add(1);
    if (load.queue_.empty() && load.take()) {
        load.queued_.fetch_sub(1);
        ticket->granted.store(true, std::memory_order_relaxed);
    } else {
        load.queue_.push_back(ticket);
    }
    ticket_ = std::move(ticket);
}

OriginLoad::Waiter::~Waiter() {
    if (!ticket_) return;
    ticket_->wake = nullptr;
    {
        const std::lock_guard lock{load_.mutex_};
        auto& queue = load_.queue_;
        if (const auto place = std::find(queue.begin(), queue.end(), ticket_); place != queue.end()) {
            queue.erase(place);
            load_.queued_.fetch_sub(1);
            return;
        }
    }
    take().release();  // its turn had come, but it leaves
}

OriginLoad::Slot OriginLoad::Waiter::take() noexcept {
    if (!ticket_ || !ticket_->granted.exchange(false, std::memory_order_acquire)) return {};
    return Slot{load_, &ticket_->loop};
}

}  // namespace nearhop::shared
