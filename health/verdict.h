#pragma once

#include "health/hysteresis.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

/// The health of an origin or of one of its addresses. Pure: time and chance are arguments.
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
    tls_certificate,  ///< `certificate` names the problem
    tls_timeout,
    head_timeout,
    bad_response,   ///< not HTTP, or ambiguous framing
    status,         ///< a status that does not pass; `status` has the number
    body_mismatch,  ///< body text not found
    body_timeout,
    bad_body,        ///< declared as JSON and is not, and checks need it
    wrong_region,    ///< the body names another region than the configuration
    check_failed,    ///< a named check of the body
    ratio,           ///< share of failures in the window
    stalled,         ///< several requests waited and no answer came
    agent_degraded,  ///< the origin's own report
    agent_drain,
    operator_force_up,
    operator_force_down,
    operator_drain,
};
std::string_view name(Reason reason) noexcept;

/// The problem of an origin's certificate, for the reason `tls_certificate`.
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

/// The result of one named check in a health body. `missing`: no result that the edge understands.
enum class Finding : std::uint8_t { missing, ok, warn, fail };
std::string_view name(Finding finding) noexcept;

/// Checks by their number in the configuration, and a set of them in one word.
inline constexpr std::size_t most_checks = 16;
using CheckSet = std::uint16_t;

struct Findings {
    bool read = false;  ///< there was a body
    std::array<Finding, most_checks> of{};
    bool operator==(const Findings&) const = default;
};

/// What an origin reports about itself in a field of its answers. `none`: nothing.
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
    TimePoint began{};  ///< only probes that began after an ejection can end it
    CertificateProblem certificate = CertificateProblem::none;
    Findings checks{};
};

/// A failed or successful attempt of live traffic.
enum class Passive : std::uint8_t {
    ok,
    connect_failed,
    answered_failed,  ///< 502/503/504, head timeout, a body cut short
    trial_passed,     ///< ok, of a request that tried out an origin on trial
};
constexpr bool is_good(Passive result) noexcept { return result == Passive::ok || result == Passive::trial_passed; }

/// The state as published. Trivially copyable: workers read it without a lock.
struct State {
    Verdict verdict = Verdict::unknown;
    bool ejected = false;
    bool draining = false;            ///< by the operator
    Agent agent = Agent::none;        ///< the origin's own report; never `up`; of an origin only
    Override order = Override::none;  ///< the operator's; of an origin only
    Reason reason = Reason::none;     ///< of the last change
    unsigned status = 0;              ///< HTTP status if reason is `status`
    CertificateProblem certificate = CertificateProblem::none;  ///< if reason is `tls_certificate`
    Reason ejected_for = Reason::none;  ///< of the present ejection; `reason` follows the verdict
    TimePoint since{};                  ///< of the last change
    /// The first failure that led to the last ejection or down; an epoch: the origin did not fail.
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

    /// Whether the failure of a request that began then is news. A request that an outage left behind fails long after
    /// it, by its timeout, and says nothing about the recovered origin.
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
/// `ejection`, and after a failed trial as long as the outage since its first ejection, at most `ejection_max`, with
/// 10 % jitter: so the end of an outage is never noticed much later than after the outage's own length again.
/// Only probes that began after the ejection count for the return: it comes with the `rise`-th pass of them in a row,
/// or, if the time is not over by then, with the first pass after it. No timer ends an ejection: without active probes
/// it stays. Passive results during an ejection do not count.
///
/// Trial: probes prove that an origin answers probes, not that it answers requests. An origin back from an ejection is
/// on trial: the first failure ejects it again. `rise` passed requests that tried it out end the trial. Without such
/// requests, a passed probe ends it after `ejection` without a failure.
///
/// Every call returns true when verdict, ejection or trial changed, which needs a log line and a publication; the
/// counters and `changing` move silently. `now` must not go backwards.
class Machine {
public:
    explicit Machine(const Thresholds& thresholds) : thresholds_{thresholds} {}

    bool on_probe(const ProbeResult& result, TimePoint now);
    /// `dice` in [0, 1) jitters an ejection by 10 %.
    bool on_passive(Passive result, Reason reason, TimePoint now, double dice);
    /// Successes and failures of live traffic since the last call, for the ratio rule alone: they have no order, so
    /// they end no row of failures. Attempts that the client left are in neither.
    bool on_traffic(std::uint64_t successes, std::uint64_t failures, TimePoint now, double dice);
    /// State and counters survive; the new thresholds apply from the next result.
    void set_thresholds(const Thresholds& thresholds) { thresholds_ = thresholds; }

    /// For a machine whose verdict comes from elsewhere (an origin's, from its addresses), with its reason `why`.
    bool set_verdict(Verdict verdict, const State& why, TimePoint now);
    /// A probe that does not count for this machine's verdict but may end its ejection.
    bool on_recovery(bool passed, TimePoint began, TimePoint now);
    /// No request may try it out yet, so the trial has not begun.
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

/// The verdict of an origin from those of its addresses: up if any is up, else degraded, else unknown if any is
/// still unknown, else down. Without an address: unknown.
class Combine {
public:
    void add(Verdict verdict) noexcept;
    Verdict verdict() const noexcept;

private:
    bool any_ = false, up_ = false, degraded_ = false, unknown_ = false;
};

}  // namespace nearhop::health
