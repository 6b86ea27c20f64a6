#pragma once

#include "geo/locator.h"
#include "proxy/account/fault.h"
#include "proxy/steering/decision.h"
#include "proxy/wire/deviation.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What workers count. One writer each: relaxed load and store, no read-modify-write, the cost of a plain integer
/// without the data race. The admin listener sums over the workers when it is scraped.
namespace nearhop::account {

class Counter {
public:
    void add(std::uint64_t amount = 1) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
    }
    void subtract(std::uint64_t amount = 1) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) - amount, std::memory_order_relaxed);
    }
    void set(std::uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }  ///< gauges
    std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

/// One more in a gauge, for as long as it is held.
class Counted {
public:
    Counted() = default;
    explicit Counted(Counter& gauge) noexcept : gauge_{&gauge} { gauge.add(); }
    Counted(Counted&& other) noexcept : gauge_{std::exchange(other.gauge_, nullptr)} {}
    Counted& operator=(Counted&& other) noexcept {
        release();
        gauge_ = std::exchange(other.gauge_, nullptr);
        return *this;
    }
    ~Counted() { release(); }
    void release() noexcept {
        if (gauge_) std::exchange(gauge_, nullptr)->subtract();
    }

private:
    Counter* gauge_ = nullptr;
};

/// 1 ms to 30 s in 14 buckets.
class Histogram {
public:
    static constexpr std::array<double, 14> bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                   0.25,  0.5,    1,     2.5,  5,     10,   30};
    void observe_microseconds(std::uint64_t micros) noexcept {
        std::size_t i = 0;
        while (i < bounds.size() && static_cast<double>(micros) > bounds[i] * 1e6) ++i;
        buckets[i].add();
        sum_micros.add(micros);
    }
    std::array<Counter, bounds.size() + 1> buckets;  ///< not cumulative; the last one is +Inf
    Counter sum_micros;
};

/// Rows of counters, each made when the first of it counts: of many hundred that a site could have with an origin, some
/// ten ever do. One writer; others may read meanwhile.
template <std::size_t Rows, std::size_t Columns>
class SparseTable {
public:
    using Row = std::array<Counter, Columns>;

    SparseTable() = default;
    SparseTable(const SparseTable&) = delete;
    SparseTable& operator=(const SparseTable&) = delete;
    ~SparseTable() {
        for (auto& row : rows_) delete row.load(std::memory_order_relaxed);
    }
    /// Without memory for it, a row that nobody reads.
    Row& operator[](std::size_t row) noexcept {
        if (auto* made = rows_[row].load(std::memory_order_relaxed)) return *made;
        auto* fresh = new (std::nothrow) Row;
        if (!fresh) {
            thread_local Row lost;
            return lost;
        }
        rows_[row].store(fresh, std::memory_order_release);
        return *fresh;
    }
    const Row& operator[](std::size_t row) const noexcept {
        static const Row nothing{};
        const auto* made = rows_[row].load(std::memory_order_acquire);
        return made ? *made : nothing;
    }

private:
    std::array<std::atomic<Row*>, Rows> rows_{};
};

/// The same for one row of many.
template <std::size_t Size>
class SparseRow {
public:
    Counter& operator[](std::size_t at) noexcept { return table_[at / width][at % width]; }
    const Counter& operator[](std::size_t at) const noexcept { return table_[at / width][at % width]; }

private:
    static constexpr std::size_t width = 8;
    SparseTable<(Size + width - 1) / width, width> table_;
};

/// Blocks of two workers never share a line.
inline constexpr std::size_t cache_line = 64;

inline constexpr std::size_t reason_count = static_cast<std::size_t>(steering::Reason::surplus) + 1;
inline constexpr std::size_t status_classes = 6;  ///< 0: no answer was sent, 1..5: 1xx..5xx

/// Of one origin as used by one site.
struct alignas(cache_line) OriginCounters {
    SparseTable<reason_count, status_classes> requests;  ///< exchanges served, [reason][class]
    SparseRow<fault_count> attempts;                     ///< by how the attempt ended; [none]: answered
    SparseRow<fault_count> moved_away;                   ///< to another candidate, by why; [none]: a status
    Counter in_flight;                                   ///< gauge: attempts that have begun and not ended
    SparseRow<reason_count> passed_over;                 ///< the policy's first choice, and did not serve; by why
    SparseRow<reason_count> stood_in;                    ///< answered for such a first choice
    Counter spilled;                                     ///< went elsewhere because this origin was busy or full
    Counter hedges, hedges_won;                          ///< asked as the second one, and first to answer
    Histogram duration;                                  ///< whole exchange
    Histogram head;                                      ///< from the request sent to the response head
};

/// Why an exchange that failed at an origin was not moved to another one.
enum class Stay : std::uint8_t {
    not_idempotent,
    body_not_replayable,
    budget_empty,
    deadline,
    candidates_exhausted,
    response_started,
    key_pinned,
    failover_disabled,
};
inline constexpr std::size_t stay_count = static_cast<std::size_t>(Stay::failover_disabled) + 1;
std::string_view name(Stay why) noexcept;

/// What became of an exchange that had moved.
enum class Moved : std::uint8_t { answered, failed, client_gone };
inline constexpr std::size_t moved_count = static_cast<std::size_t>(Moved::client_gone) + 1;
std::string_view name(Moved outcome) noexcept;

/// Why an HTTP/2 session ended.
enum class Http2End : std::uint8_t {
    open,  ///< it has not
    closed,
    idle,
    drained,
    head_timeout,
    write_timeout,
    protocol_error,
    rapid_reset,
    made_reset,
    control_flood,
    empty_frames,
    continuation_flood,
    header_bomb,
};
inline constexpr std::size_t http2_end_count = static_cast<std::size_t>(Http2End::header_bomb) + 1;
std::string_view name(Http2End why) noexcept;

/// Why a client's connection was closed before anything was said on it. Labels of nearhop_sessions_refused_total.
enum class Refusal : std::uint8_t { none, sessions, address, handshakes, handshake_rate, busy_address, overload };
inline constexpr std::size_t refusal_count = static_cast<std::size_t>(Refusal::overload) + 1;
std::string_view name(Refusal why) noexcept;

/// Of one site as a whole.
struct alignas(cache_line) SiteCounters {
    SparseRow<fault_count> own_answers;  ///< answered by the edge itself, by fault
    std::array<Counter, stay_count> not_moved;
    std::array<Counter, moved_count> moved;
    Counter retry_tokens;  ///< gauge: what the worker's budget holds, rounded down
};

/// Live use of one origin's pool by one worker.
struct alignas(cache_line) PoolCounters {
    Counter idle, active;  ///< gauges
    Counter opened, reused;
    Counter ok, failed;  ///< attempts for the passive ratio: read by the control thread
    Counter stalls;      ///< times that requests waited in vain
};

struct alignas(cache_line) WorkerCounters {
    Counter sessions_opened, sessions_closed, accept_errors;
    std::array<Counter, refusal_count> sessions_refused;  ///< by why
    Counter sessions_used_up;  ///< ended by limits.session_requests or limits.pipelined_requests
    Counter buckets_forgotten, keys_forgotten;
    Counter handshakes_full, handshakes_resumed, handshakes_failed;
    Counter exchanges_started, exchanges_finished;
    Counter client_received, client_sent, origin_received, origin_sent;    ///< bytes on the wire
    Counter tunnels_opened, tunnels_closed, tunnel_received, tunnel_sent;  ///< bytes from and to clients
    Counter log_dropped;
    Counter viewer_fields_bad, viewer_country_disagreed;
    std::array<std::array<Counter, 5>, 4> located;                                    ///< [geo::Source][geo::Level]
    std::array<Counter, wire::deviation_count> client_deviations, origin_deviations;  ///< messages, by deviation
    std::array<Counter, fault_count> faults;  ///< of exchanges and sessions, client-visible or not
    Counter http2_sessions, http2_streams, http2_client_resets, http2_edge_resets, http2_refused;
    std::array<Counter, http2_end_count> http2_ended;
    Counter replay_bytes;  ///< gauge
    Counter loop_batches;
};

/// What the control thread does for as long as the process lives. Labels of nearhop_task_failures_total.
enum class Duty : std::uint8_t { resolve, probe, control_target, files, orders, reload, tick, signals, admin, mail };
inline constexpr std::size_t duty_count = static_cast<std::size_t>(Duty::mail) + 1;
std::string_view name(Duty duty) noexcept;

}  // namespace nearhop::account
