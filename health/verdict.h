#pragma once

#include "health/hysteresis.h"

#include <array>
#include <chrono>
#include <cstdint>
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
    tls_certificate,  ///< `certificate` says which problem
    tls_timeout,
    head_timeout,
    bad_response,   ///< not HTTP, or framing in doubt
    status,         ///< a status that does not pass; `status` has the number
    body_mismatch,  ///< body text not found
    body_timeout,
    bad_body,        ///< declared as JSON, needed for its checks, and none
    wrong_region,    ///< the body names another region than the configuration
    check_failed,    ///< a named check of the body
    ratio,           ///< share of failures in the window
    stalled,         ///< several requests waited and nothing came back
    agent_degraded,  ///< the origin's own word
    agent_drain,
    operator_force_up,
    operator_force_down,
    operator_drain,
};
std::string_view name(Reason reason) noexcept;

/// What is wrong with an origin's certificate, where the reason is `tls_certificate`.
enum class CertificateProblem : std::uint8_t {
    none,
    expired,
    not_yet_valid,
    wrong_name,
    untrusted,
    self_signed,
    revoked,
    other
};
std::string_view name(CertificateProblem problem) noexcept;

/// Thresholds; from configuration.
struct Thresholds {
    unsigned fall = 3;
    unsigned rise = 3;
    unsigned connect_failures = 3;
    unsigned status_failures = 5;
    unsigned ratio_percent = 50;
    unsigned ratio_minimum = 20;
    milliseconds ratio_window{10'000};
    milliseconds ejection{5'000};
    milliseconds ejection_max{300'000};
    bool passive = true;
};

/// What a health body said of one named check. `missing`: nothing that could be understood.
enum class Finding : std::uint8_t { missing, ok, warn, fail };
std::string_view name(Finding finding) noexcept;

/// Checks by their number in the configuration, and a set of them in one word.
inline constexpr std::size_t most_checks = 16;
using CheckSet = std::uint16_t;

struct Findings {
    bool read = false;  ///< a body was there to say something
    std::array<Finding, most_checks> of{};
    bool operator==(const Findings&) const = default;
};

/// What an origin says of itself in a field of its answers. `none`: nothing.
enum class Agent : std::uint8_t { none, up, degraded, drain };
std::string_view name(Agent word) noexcept;

/// The operator's order. It overrides the result of the machine, which continues below it.
enum class Override : std::uint8_t { none, drain, force_up, force_down };
std::string_view name(Override order) noexcept;

/// The outcome of one active probe.
struct ProbeResult {
    bool passed = false;
    Reason reason = Reason::none;
    unsigned status = 0;
    TimePoint began{};  ///< only probes begun after an ejection can undo it
    CertificateProblem certificate = CertificateProblem::none;
    Findings checks{};
};

/// A failed or successful attempt of live traffic.
enum class Passive : std::uint8_t {
    ok,
    connect_failed,
    answered_failed,  ///< 502/503/504, head timeout, a body cut short
    trial_passed,     ///< ok, of a request that was sent to try out an origin on trial
};
constexpr bool is_good(Passive result) noexcept { return result == Passive::ok || result == Passive::trial_passed; }

/// The state as published. Trivially copyable: workers read it without a lock.
struct State {
    Verdict verdict = Verdict::unknown;
    bool ejected = false;
    bool draining = false;            ///< by the operator
    Agent agent = Agent::none;        ///< the origin's own word; never `up`; of an origin only
    Override order = Override::none;  ///< the operator's; of an origin only
    Reason reason = Reason::none;     ///< of the last change
    unsigned status = 0;              ///< HTTP status where reason is `status`
    CertificateProblem certificate = CertificateProblem::none;  ///< where reason is `tls_certificate`
    Reason ejected_for = Reason::none;  ///< of the standing ejection; `reason` moves on when the verdict does
    TimePoint since{};                  ///< of the last change
    /// The first of the failures that led to the last ejection or down; an epoch: it was no failure of the origin's.
    TimePoint failing_since{};
    TimePoint ejected_until{};
    unsigned ejections = 0;  ///< in the present outage: the first one, and one for each trial that failed
    bool on_trial = false;   ///< back from an ejection: few requests, and the first failure ejects again
    TimePoint back_since{};  ///< of the last return, from an ejection or from being down; an epoch: it never was out
    /// A counter runs: probe at the transitional interval. True for failures counted while not down, passes counted
    /// while down, and an ejection, unless the verdict is down as well: a dead origin gets the down interval.
    bool changing = false;

    /// May take a new request as a normal candidate.
    bool eligible() const noexcept {
        return verdict != Verdict::down && !ejected && !draining && agent != Agent::drain;
    }

    /// Whether the failure of a request that was begun then is news: one that an outage left behind fails long after
    /// it, by its timeout, and says nothing of the origin that is back.
    bool is_news(TimePoint began) const noexcept { return began >= back_since; }
    /// The operator keeps every new request away.
    bool ordered_out() const noexcept { return draining || order == Override::force_down; }

    bool operator==(const State&) const = default;
};

/// One machine per origin (fed by passive results) and per address (fed by probes).
///
/// Verdict: from probes by Hysteresis; the first result decides alone.
///
/// Ejection: passive failures in a row (only an ok of live traffic ends a row) or their share in a window. It lasts
/// `ejection`, and after a trial that failed as long as the outage has since its first ejection, at most
/// `ejection_max`, with 10 % jitter: that an outage is over is never noticed much later than after its length again.
/// Only probes that began after the moment of ejection count for the return: it comes with the `rise`-th pass of them
/// in a row, or, where the time is not over by then, with the first pass after it. No timer ends an ejection, and
/// without active probes it stands. Passive results that come in while it stands count nothing.
///
/// Trial: probes say that an origin answers probes, not that it answers requests. Who comes back from an ejection is on
/// trial: the first failure ejects it again. `rise` requests that were sent to try it out, and passed, end the trial;
/// so does a probe that passes when `ejection` has gone by without a failure, for want of such requests.
///
/// Every call answers true when verdict, ejection or trial changed, which is worth a log line and a publication; the
/// counters and `changing` move silently. `now` must not go backwards.
class Machine {
public:
    explicit Machine(const Thresholds& thresholds) : thresholds_{thresholds} {}

    bool on_probe(const ProbeResult& result, TimePoint now);
    /// `dice` in [0, 1) jitters an ejection by 10 %.
    bool on_passive(Passive result, Reason reason, TimePoint now, double dice);
    /// Counts of successes and failures seen by live traffic since the last call, for the ratio rule alone: they have
    /// no order, so they end no row of failures. Attempts that the client left are in neither.
    bool on_traffic(std::uint64_t successes, std::uint64_t failures, TimePoint now, double dice);
    /// State and counters survive; the new thresholds apply from the next result.
    void set_thresholds(const Thresholds& thresholds) { thresholds_ = thresholds; }

    /// For a machine whose verdict is decided elsewhere (an origin's, from its addresses); `why` is copied from there.
    bool set_verdict(Verdict verdict, const State& why, TimePoint now);
    /// A probe that says nothing of this machine's verdict but may end its ejection.
    bool on_recovery(bool passed, TimePoint began, TimePoint now);
    /// Nobody may try it out yet, so a trial has not begun.
    void put_off_trial(TimePoint now) noexcept { trial_since_ = now; }

    const State& state() const noexcept { return state_; }

private:
    bool count(const ProbeResult& result, TimePoint now);
    bool eject(Reason reason, TimePoint failing_since, TimePoint now, double dice);
    bool end_trial() noexcept;
    void change(Verdict verdict, Reason reason, unsigned status, CertificateProblem certificate, TimePoint now);
    void advance_buckets(TimePoint now);
    void update_changing() noexcept;

    Thresholds thresholds_;
    State state_;
    Hysteresis probes_;
    unsigned recovery_ = 0;          ///< passes in a row that began after the ejection
    unsigned connect_failures_ = 0;  ///< passive, in a row
    unsigned status_failures_ = 0;   ///< passive, in a row
    unsigned trial_passes_ = 0;
    TimePoint probes_failing_since_{}, connects_failing_since_{}, answers_failing_since_{};  ///< of those counted now
    TimePoint trial_since_{};
    TimePoint ejected_at_{};
    TimePoint outage_since_{};  ///< the first of the ejections
    // A ring of one-second buckets for the ratio; the configuration allows a window of a minute at most.
    static constexpr std::size_t buckets = 64;
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
