#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// What health says of an origin or of one of its addresses. Pure: time and chance come in as arguments.
namespace nearhop::health {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using std::chrono::milliseconds;

enum class Verdict : std::uint8_t { unknown, up, degraded, down };
std::string_view name(Verdict verdict) noexcept;

/// Why a probe or an attempt failed, or why a verdict changed; the code of a log line and of a metric label.
enum class Reason : std::uint8_t {
    none,
    passed,
    resolve_failed,   ///< DNS gave no address
    refused,          ///< L4 refused
    unreachable,      ///< L4 no route
    connect_timeout,  ///< L4 timeout
    reset,            ///< closed or reset before the head
    tls_failed,       ///< handshake error
    tls_certificate,  ///< expired, wrong name, untrusted; `detail` says which
    tls_timeout,
    head_timeout,
    bad_response,   ///< not HTTP, or framing in doubt
    status,         ///< a status that does not pass; `detail` has the number
    body_mismatch,  ///< body text not found
    body_timeout,
    ratio,  ///< share of failures in the window
    operator_drain,
};
std::string_view name(Reason reason) noexcept;

/// Thresholds; from configuration.
struct Thresholds {
    unsigned fall = 3;
    unsigned rise = 3;
    unsigned connect_failures = 3;
    unsigned status_failures = 5;
    unsigned ratio_percent = 50;
    unsigned ratio_minimum = 20;
    milliseconds ratio_window{10'000};
    milliseconds ejection{10'000};
    milliseconds ejection_max{300'000};
    bool passive = true;
};

/// The outcome of one active probe.
struct ProbeResult {
    bool passed = false;
    Reason reason = Reason::none;
    unsigned status = 0;
    TimePoint began{};  ///< only probes begun after an ejection can undo it
};

/// A failed or successful attempt of live traffic.
enum class Passive : std::uint8_t {
    ok,
    connect_failed,
    answered_failed
};  ///< answered_failed: 502/503/504, head timeout

/// The state as published.
struct State {
    Verdict verdict = Verdict::unknown;
    bool ejected = false;
    bool draining = false;
    Reason reason = Reason::none;  ///< of the last change
    unsigned status = 0;           ///< HTTP status where reason is `status`
    TimePoint since{};             ///< of the last change
    TimePoint ejected_until{};
    unsigned ejections = 0;  ///< in a row; decays when it stays up
    bool changing = false;   ///< a counter runs: probe at the transitional interval

    /// May take a new request as a normal candidate.
    bool eligible() const noexcept { return verdict != Verdict::down && !ejected && !draining; }
};

/// One machine per origin (fed by passive results) and per address (fed by probes).
/// Counting is gdnsd's: a failure counter that only `rise` successes in a row reset, so that sporadic failures add up;
/// the first result decides alone.
class Machine {
public:
    explicit Machine(const Thresholds& thresholds) : thresholds_{thresholds} {}

    /// True when the published state changed. `dice` in [0, 1) jitters an ejection by 10 %.
    bool on_probe(const ProbeResult& result, TimePoint now);
    bool on_passive(Passive result, Reason reason, TimePoint now, double dice);
    /// Counts of successes and failures seen by live traffic since the last call, for the ratio rule.
    bool on_traffic(std::uint64_t successes, std::uint64_t failures, TimePoint now, double dice);
    bool set_draining(bool draining, TimePoint now);
    void set_thresholds(const Thresholds& thresholds) { thresholds_ = thresholds; }

    const State& state() const noexcept { return state_; }

private:
    bool eject(Reason reason, TimePoint now, double dice);
    bool change(Verdict verdict, Reason reason, unsigned status, TimePoint now);

    Thresholds thresholds_;
    State state_;
    bool decided_ = false;
    unsigned failures_ = 0;          ///< of probes; reset by `rise` successes in a row
    unsigned successes_ = 0;         ///< of probes, in a row
    unsigned recovery_ = 0;          ///< passes in a row that began after the ejection's end
    unsigned connect_failures_ = 0;  ///< passive, in a row
    unsigned status_failures_ = 0;   ///< passive, in a row
    // A ring of one-second buckets for the ratio.
    static constexpr std::size_t buckets = 16;
    std::uint64_t ok_[buckets] = {};
    std::uint64_t failed_[buckets] = {};
    std::int64_t bucket_second_ = 0;
};

/// The verdict of an origin from the verdicts of its addresses: up when any is up, else degraded, else unknown when
/// any is still unknown, else down. No address at all: unknown.
class Combine {
public:
    void add(Verdict verdict) noexcept;
    Verdict verdict() const noexcept;

private:
    bool any_ = false, up_ = false, degraded_ = false, unknown_ = false;
};

}  // namespace nearhop::health
