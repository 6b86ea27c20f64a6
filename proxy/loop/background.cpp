#include "proxy/loop/background.h"

#include "proxy/loop/left_behind.h"

#include <condition_variable>
#include <mutex>
#include <new>
#include <thread>

namespace nearhop::loop {

/// Outlives the Background where a thread is left behind.
struct Background::Shared {
    std::mutex mutex;
    std::condition_variable ended;
    loop::Loop* loop = nullptr;  // guarded by mutex; null: there is nobody to tell
    unsigned running = 0;        // guarded by mutex

    void end(const std::shared_ptr<Mark>& mark) noexcept {
        for (;; std::this_thread::sleep_for(std::chrono::milliseconds{10})) {
            const std::lock_guard lock{mutex};
            if (loop && !is_told(mark)) continue;
            --running;
            ended.notify_all();
            return;
        }
    }
    /// False without memory for the message: the waiter must learn of it.
    bool is_told(const std::shared_ptr<Mark>& mark) const noexcept {
        try {
            loop->post([mark] {
                mark->done = true;
                if (mark->wake) mark->wake->notify();
            });
            return true;
        } catch (const std::bad_alloc&) {
            return false;
        }
    }
};

Background::Background(loop::Loop& loop, std::optional<std::chrono::milliseconds> patience)
    : loop_{loop}, patience_{patience}, shared_{std::make_shared<Shared>()} {
    shared_->loop = &loop;
}

Background::~Background() {
    std::unique_lock lock{shared_->mutex};
    shared_->loop = nullptr;
    const auto over = [this] { return shared_->running == 0; };
    if (!patience_)
        shared_->ended.wait(lock, over);
    else if (!shared_->ended.wait_for(lock, *patience_, over))
        note_left_behind();
}

Background::Ticket Background::start(std::function<void()> work, loop::Wake& wake) {
    auto mark = std::make_shared<Mark>(Mark{.wake = &wake});
    const auto count = [this](int change) {
        const std::lock_guard lock{shared_->mutex};
        shared_->running += static_cast<unsigned>(change);
    };
    count(1);
    try {
        std::thread{[shared = shared_, mark, work = std::move(work)]() mutable {
            work();
            work = nullptr;  // what it holds goes before anybody may think that it is over
            shared->end(mark);
        }}.detach();
    } catch (...) {
        count(-1);
        throw;
    }
    return Ticket{std::move(mark)};
}

}  // namespace nearhop::loop
