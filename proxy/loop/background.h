#pragma once

#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace nearhop::loop {

/// Work that waits for a disk or takes long, each piece on a thread of its own, so that the loop that wants it done
/// goes on meanwhile. For work that is rare: reloads, files that changed, large pages.
class Background {
public:
    /// `patience`: how long the destructor waits for what is under way before that is left behind (left_behind.h): a
    /// read from a disk that hangs may never come back. Without it, as long as it takes.
    explicit Background(loop::Loop& loop, std::optional<std::chrono::milliseconds> patience = std::nullopt);
    ~Background();
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

    /// What `work` returns, or throws. It runs on another thread and may outlive the Task, which may be dropped: it
    /// holds whatever it uses. Throws std::system_error when no thread can be had.
    template <class Work>
    loop::Task<std::invoke_result_t<Work&>> run(Work work) {
        struct Job {
            explicit Job(Work wanted) : work{std::move(wanted)} {}
            Work work;
            std::optional<std::invoke_result_t<Work&>> result{};
            std::exception_ptr error{};
        };
        const auto job = std::make_shared<Job>(std::move(work));
        loop::Wake wake{loop_};
        const Ticket ticket = start(
            [job] {
                try {
                    job->result.emplace(job->work());
                } catch (...) {
                    job->error = std::current_exception();
                }
            },
            wake);
        while (!ticket.done()) co_await wake.wait();
        if (job->error) std::rethrow_exception(job->error);
        co_return std::move(*job->result);
    }

private:
    struct Shared;
    struct Mark {
        loop::Wake* wake;  ///< null: nobody waits any more
        bool done = false;
    };
    /// The waiting side of one piece of work; on the loop's thread, as its Mark is.
    class Ticket {
    public:
        explicit Ticket(std::shared_ptr<Mark> mark) noexcept : mark_{std::move(mark)} {}
        ~Ticket() { mark_->wake = nullptr; }
        Ticket(const Ticket&) = delete;
        Ticket& operator=(const Ticket&) = delete;
        bool done() const noexcept { return mark_->done; }

    private:
        std::shared_ptr<Mark> mark_;
    };
    Ticket start(std::function<void()> work, loop::Wake& wake);

    loop::Loop& loop_;
    std::optional<std::chrono::milliseconds> patience_;
    std::shared_ptr<Shared> shared_;
};

}  // namespace nearhop::loop
