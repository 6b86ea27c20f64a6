#pragma once

#include "conf/config.h"
#include "health/latency.h"
#include "health/table.h"
#include "health/verdict.h"

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace nearhop::health {

/// A named check as /status shows it.
struct CheckState {
    bool failing = false;             ///< it moves the requests that need it
    Finding last = Finding::missing;  ///< the worst last result of an address
    TimePoint since{};                ///< of the last change of `failing`
};

/// Health of one origin: one machine for the origin (ejection) and one per address (probes, dials, named checks). The
/// origin's own report (the agent) overrides them, and the operator's order overrides both. Lives on the control thread
/// and outlives reloads and DNS changes; the text of an address is its key.
///
/// Calls return true when something published changed: state() or, for calls that name an address, its address_state().
/// Results of unknown addresses are ignored.
class OriginMonitor {
public:
    explicit OriginMonitor(const Thresholds& thresholds) : thresholds_{thresholds}, origin_{thresholds} {}

    /// The answer of DNS. Addresses that stay keep their state; others are forgotten. A new address is `unknown` until
    /// its first probe, which the caller starts at once. Until then it counts with the origin's present verdict, so a
    /// DNS change neither revives a dead origin nor disturbs a good one. An empty list changes nothing: an answer
    /// without addresses is a failed resolve.
    bool set_addresses(const std::vector<std::string>& addresses, TimePoint now);
    /// Keeps the old addresses; only an origin that never had any goes down.
    bool on_resolve_failed(TimePoint now);

    /// An active probe of one address. It moves that address's verdict, with it the origin's, and gates the return of
    /// both from ejection. Passes of any address count together for the origin's return; a failure starts its count
    /// again, unless that address was down before: a dead address must not keep out an origin that works without it.
    bool on_probe(std::string_view address, const ProbeResult& result, TimePoint now);

    /// The outcome of a whole attempt: counts against the origin, and against the address it ended with.
    bool on_passive(std::string_view address, Passive result, Reason reason, TimePoint now, double dice);
    /// The outcome of one of several dials of an attempt that continued without it: counts against its address only.
    bool on_dial(std::string_view address, Passive result, Reason reason, TimePoint now, double dice);
    bool on_traffic(std::uint64_t successes, std::uint64_t failures, TimePoint now, double dice);
    void on_rtt(std::string_view address, double milliseconds_rtt, TimePoint now);

    /// The checks of a new configuration; those that keep their name keep their state.
    void set_checks(const std::vector<conf::Check>& checks, TimePoint now);
    /// The origin's own report holds until the next one, at most `expiry`. An answer without a report (Agent::none)
    /// changes nothing: it may come from another of the origin's machines.
    bool on_agent(Agent word, milliseconds expiry, TimePoint now);
    /// The origin is back from an ejection, but no request may go there yet.
    void put_off_trial(TimePoint now) noexcept { origin_.put_off_trial(now); }
    /// Checks whether the origin's report has expired.
    bool on_time(TimePoint now);
    /// The operator's order, until the next one. Its expiry is the caller's.
    bool set_override(Override order, TimePoint now);
    void set_thresholds(const Thresholds& thresholds);
    /// Restores verdicts and ejections from `before`, a copy of this monitor. All that does not come from failures
    /// stays: the list of addresses, checks, the origin's report, the order, thresholds.
    bool take_back(const OriginMonitor& before, TimePoint now);

    /// As published: the machine's result, overridden by the origin's report, overridden by the operator's order. A
    /// force-up hides an ejection too: the operator may know better than probes and failures.
    State state() const noexcept;
    CheckSet failing() const noexcept { return failing_; }
    CheckState check(std::size_t number) const noexcept;
    /// For an unknown address: `unknown`.
    State address_state(std::string_view address) const noexcept;
    /// The same, for next_probe(): addresses of an ejected origin get probes at the transitional interval.
    State schedule_state(std::string_view address) const noexcept;
    /// True once every address has had a result, or the first resolve failed: the first round is over.
    bool decided() const noexcept;
    /// As published. The round trip is the mean over addresses that are not down.
    OriginHealth health(TimePoint now) const noexcept;

private:
    struct CheckCount {
        Hysteresis results;
        Finding last = Finding::missing;
        bool known = false;  ///< a body was read; the first one decides alone
        bool failing = false;
        bool observe(Finding finding, const Thresholds& thresholds) noexcept;
    };
    struct Address {
        std::string text;
        Machine machine;
        Latency latency;
        Verdict inherited = Verdict::unknown;
        std::array<CheckCount, most_checks> checks{};

        Verdict counts_as() const noexcept {
            return machine.state().verdict == Verdict::unknown ? inherited : machine.state().verdict;
        }
    };

    Address* find(std::string_view text) noexcept;
    const Address* find(std::string_view text) const noexcept;
    bool combine(TimePoint now);
    bool combine_checks(TimePoint now);
    bool counting(const Address& address) const noexcept;

    Thresholds thresholds_;
    Machine origin_;
    std::vector<Address> addresses_;
    std::vector<std::string> check_names_;
    CheckSet failing_ = 0;    ///< at any address that is not down
    CheckSet degrading_ = 0;  ///< those that make the origin degraded
    std::array<TimePoint, most_checks> check_since_{};
    Agent agent_ = Agent::none;
    Override order_ = Override::none;
    TimePoint agent_since_{}, agent_until_{}, order_since_{};
};

}  // namespace nearhop::health
