#include "proxy/account/log_writer.h"

#include "proxy/account/log_file.h"
#include "proxy/loop/left_behind.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <mutex>
#include <poll.h>
#include <pthread.h>
#include <stdexcept>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

namespace nearhop::account {
namespace {

/// Lines reach the file within this where nobody wakes the writer: workers make no system call for it.
constexpr int poll_ms = 50;
/// How long a reader that does not read is waited for, each time and at the end.
constexpr int patience_ms = 50;
constexpr int last_patience_ms = 1000;
/// And how long a write that does not come back: another process may fill the pipe between our look and our write.
constexpr std::chrono::milliseconds longest_end{5000};

std::uint64_t lines_in(std::string_view bytes) noexcept {
    return static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), '\n'));
}

}  // namespace

struct LogWriter::State {
    State(std::string file_name, std::vector<std::shared_ptr<Ring>> queues, Owner& whose)
        : where{std::move(file_name)}, rings{std::move(queues)}, owner{&whose} {
        std::string error;
        if (!file.open(where, error)) throw std::runtime_error{error};
        wakeup = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (wakeup < 0) throw std::runtime_error{std::string{"cannot make an eventfd: "} + std::strerror(errno)};
    }
    ~State() {
        if (wakeup >= 0) ::close(wakeup);
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    void wake() const noexcept {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(wakeup, &one, sizeof one);
    }

    void run() noexcept {
        while (!stopping.load(std::memory_order_acquire)) {
            pollfd woken{wakeup, POLLIN, 0};
            ::poll(&woken, 1, poll_ms);
            std::uint64_t ignored = 0;
            [[maybe_unused]] const auto drained = ::read(wakeup, &ignored, sizeof ignored);
            // What is queued belongs to the old file: that is where a rotation expects it.
            write_queued(patience_ms);
            if (reopening.exchange(false, std::memory_order_acq_rel)) open_again();
        }
        if (write_queued(last_patience_ms) == LogFile::Result::busy) give_up();
        const std::lock_guard lock{mutex};
        done = true;
        ended.notify_all();
    }

    /// Everything of every ring, or as much as the file takes.
    LogFile::Result write_queued(int patience) noexcept {
        for (std::size_t visited = 0; visited < rings.size(); ++visited) {
            const auto result = write_ring(*rings[current], patience);
            // A line may be half written: its ring goes on where it stopped, before any other.
            if (result == LogFile::Result::busy) return result;
            current = (current + 1) % rings.size();
        }
        return LogFile::Result::written;
    }

    LogFile::Result write_ring(Ring& ring, int patience) noexcept {
        auto pieces = ring.peek();
        if (pieces[0].empty()) return LogFile::Result::written;
        const std::size_t queued = pieces[0].size() + pieces[1].size();
        auto result = file.write(pieces[0], patience);
        if (result == LogFile::Result::written) result = file.write(pieces[1], patience);
        const int why = errno;
        if (result == LogFile::Result::busy) {
            ring.pop(queued - pieces[0].size() - pieces[1].size());
            return result;
        }
        ring.pop(queued);
        lose(lines_in(pieces[0]) + lines_in(pieces[1]));
        if (const bool fails = result == LogFile::Result::failed; fails != std::exchange(failing, fails))
            tell(fails ? News::failed : News::recovered, fails ? std::strerror(why) : "");
        return result;
    }

    void give_up() noexcept {
        for (const auto& ring : rings)
            for (const auto piece : ring->peek()) lose(lines_in(piece));
    }

    void open_again() noexcept {
        std::string error;
        tell(file.open(where, error) ? News::reopened : News::failed, error);
    }

    void lose(std::uint64_t count) noexcept {
        const std::lock_guard lock{mutex};
        if (owner && count != 0) owner->lines_lost(count);
    }
    void tell(News news, const std::string& error) noexcept {
        const std::lock_guard lock{mutex};
        if (owner) owner->hear(news, error);
    }

    const std::string where;
    const std::vector<std::shared_ptr<Ring>> rings;
    LogFile file;
    std::size_t current = 0;  ///< ring that is written next
    bool failing = false;
    int wakeup = -1;
    std::atomic<bool> stopping{false};
    std::atomic<bool> reopening{false};
    std::mutex mutex;
    std::condition_variable ended;
    bool done = false;  // guarded by mutex
    Owner* owner;       // guarded by mutex; null when the thread was left behind
};

LogWriter::LogWriter(const std::string& where, std::vector<std::shared_ptr<Ring>> rings, Owner& owner)
    : state_{std::make_shared<State>(where, std::move(rings), owner)} {
    // Signals are for the control thread; a pipe without a reader is an error of write().
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        thread_ = std::thread{[state = state_] { state->run(); }};
    } catch (...) {
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LogWriter::~LogWriter() {
    state_->stopping.store(true, std::memory_order_release);
    state_->wake();
    std::unique_lock lock{state_->mutex};
    if (state_->ended.wait_for(lock, longest_end, [this] { return state_->done; })) {
        lock.unlock();
        thread_.join();
        return;
    }
    state_->owner = nullptr;
    thread_.detach();
    loop::note_left_behind();
}

void LogWriter::wake() noexcept { state_->wake(); }

void LogWriter::reopen() noexcept {
    state_->reopening.store(true, std::memory_order_release);
    state_->wake();
}

}  // namespace nearhop::account
