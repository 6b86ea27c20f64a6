#pragma once

#include "conf/config.h"
#include "geo/locator.h"
#include "proxy/account/counters.h"
#include "proxy/account/fault.h"
#include "proxy/steering/decision.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace nearhop::account {

/// One exchange, as the access log tells it. Views must outlive the call only.
struct AccessRecord {
    std::chrono::system_clock::time_point time{};
    std::string_view id;  ///< request id
    geo::Address client;
    std::string_view method, host, path;    ///< as received; escaped here
    const conf::LogQuery* query = nullptr;  ///< what the line keeps of the path's query; null: nothing
    std::string_view protocol = "HTTP/1.1";
    std::string_view upgrade;       ///< the protocol that the connection, or the stream, switched to; empty: none
    unsigned status = 0;            ///< 0: nothing was answered
    std::string_view site, origin;  ///< empty: none
    steering::Reason reason = steering::Reason::nearest;
    bool has_reason = false;
    std::string_view first_choice;                ///< of the policy; empty: nothing was decided
    std::optional<steering::Reason> passed_over;  ///< why it did not serve
    geo::Place place;
    unsigned attempts = 0;
    Fault fault = Fault::none;
    wire::Deviation deviation = wire::Deviation::none;  ///< the worst of request and answer
    std::uint64_t bytes_in = 0, bytes_out = 0;          ///< bodies
    double edge_ms = 0;                                 ///< head received to first attempt
    double connect_ms = 0;                              ///< waiting for connections, over all attempts
    double origin_ms = 0;                               ///< request sent to response head, last attempt
    double total_ms = 0;
};

/// Access lines are formatted into a ring per worker and written by a thread of their own. When the file is slow or
/// the disk is full, lines are dropped and counted; no request waits. Lines of two workers may stand
/// out of order by some 50 ms.
class AccessLog {
public:
    /// One worker's ring; used by that worker only.
    class Lane {
    public:
        void write(const AccessRecord& record) noexcept;

    private:
        friend class AccessLog;
        struct Form;
        std::shared_ptr<Form> form_;
    };

    using Workers = std::span<const std::unique_ptr<WorkerCounters>>;
    /// Starts the writer thread unless the log is off. `workers` count the lines that find their ring full, by index;
    /// `write_dropped` those that the writer loses. Throws std::runtime_error when the file cannot be opened.
    AccessLog(const conf::Log& log, Workers workers, Counter& write_dropped);
    ~AccessLog();  ///< writes what is queued, within five seconds
    AccessLog(const AccessLog&) = delete;
    AccessLog& operator=(const AccessLog&) = delete;

    bool enabled() const noexcept;
    Lane& lane(unsigned worker) noexcept;
    void reopen() noexcept;  ///< SIGUSR1; any thread

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace nearhop::account
