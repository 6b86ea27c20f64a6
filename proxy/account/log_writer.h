#pragma once

#include "proxy/account/byte_ring.h"

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace nearhop::account {

/// Writes lines to one file from rings, on a thread of its own: a disk, pipe or terminal that takes nothing delays no
/// thread that logs. A line that does not fit into its ring is lost, and the thread that fills the ring counts it.
class LogWriter {
public:
    using Ring = ByteRing<1024 * 1024>;

    enum class News : std::uint8_t { failed, recovered, reopened };
    /// Called on the writer's thread, one at a time, until the writer is destroyed.
    class Owner {
    public:
        virtual void lines_lost(std::uint64_t count) noexcept = 0;  ///< the file failed, or time was over
        /// Once when it begins to fail and once when it is over, however many lines that costs.
        virtual void hear(News news, const std::string& error) noexcept = 0;

    protected:
        ~Owner() = default;
    };

    /// `where` as of LogFile::open. Throws std::runtime_error when it cannot be opened.
    LogWriter(const std::string& where, std::vector<std::shared_ptr<Ring>> rings, Owner& owner);
    /// Writes what is queued, within five seconds: a reader that takes nothing is waited for for one, and a write that
    /// stands still is left behind.
    ~LogWriter();
    LogWriter(const LogWriter&) = delete;
    LogWriter& operator=(const LogWriter&) = delete;

    // Any thread.
    void wake() noexcept;  ///< without it, lines reach the file within 50 ms
    void reopen() noexcept;

private:
    struct State;
    std::shared_ptr<State> state_;  ///< shared with the thread, which may be left behind
    std::thread thread_;
};

}  // namespace nearhop::account
