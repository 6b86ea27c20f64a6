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

/// A named check as it is shown.
struct CheckState {
    bool failing = false;             ///< it moves what needs it
    Finding last = Finding::missing;  ///< the worst that an address said last
    TimePoint since{};                ///< of the last change of `failing`
};

/// Health of one origin, composed of one machine for the origin (ejection) and one per address (probes, dials,
/// named checks). Above them stand the origin's own word (the agent) and, above all, the operator's order. Lives on the
/// control thread and outlives reloads and DNS changes; addresses are known by their text.
///
/// Calls answer true when something published changed: state() or, for calls that name an address, its address_state().
/// Results of an address that is no longer known are ignored.
class OriginMonitor {
public:
    explicit OriginMonitor(const Thresholds& thresholds) : thresholds_{thresholds}, origin_{thresholds} {}

    /// The answer of DNS. Addresses that stay keep their state, others are forgotten. A new one is `unknown` until its
    /// first probe, which the caller starts at once; until then it counts for the origin as the verdict that the origin
    /// had, so a DNS change neither revives a dead origin nor disturbs a good one. An empty list changes nothing: an
    /// answer without addresses is a failed resolve.
    bool set_addresses(const std::vector<std::string>& addresses, TimePoint now);
    /// Old addresses are kept; only an origin that never had any goes down.
    bool on_resolve_failed(TimePoint now);

    /// An active probe of one address. It moves that address's verdict, with it the origin's, and gates the return of
    /// both from ejection. Passes of any address count together for the origin's return; a failure starts its count
    /// again, unless that address was down before: a dead address must not hold out an origin that works without it.
    bool on_probe(std::string_view address, const ProbeResult& result, TimePoint now);

    /// The outcome of a whole attempt: counts against the origin, and against the address it ended with.
    bool on_passive(std::string_view address, Passive result, Reason reason, TimePoint now, double dice);
    /// The outcome of one dial among several of an attempt that went on without it: counts against its address only.
    bool on_dial(std::string_view address, Passive result, Reason reason, TimePoint now, double dice);
    bool on_traffic(std::uint64_t successes, std::uint64_t failures, TimePoint now, double dice);
    void on_rtt(std::string_view address, double milliseconds_rtt, TimePoint now);

    /// The checks of a new configuration; those that keep their name keep their state.
    void set_checks(const std::vector<conf::Check>& checks, TimePoint now);
    /// The origin's own word holds until it says something else, at most `expiry`. An answer that says nothing
    /// (Agent::none) changes nothing: other answers may come from another of its machines.
    bool on_agent(Agent word, milliseconds expiry, TimePoint now);
    /// The origin is back from an ejection, and nobody may be sent there yet.
    void put_off_trial(TimePoint now) noexcept { origin_.put_off_trial(now); }
    /// Looks whether the origin's word has expired.
    bool on_time(TimePoint now);
    /// The operator's order, until the next one. Its expiry is the caller's.
    bool set_override(Override order, TimePoint now);
    void set_thresholds(const Thresholds& thresholds);
    /// Verdicts and ejections are again what they were in `before`, a copy of this monitor. What does not come from
    /// failures stays as it is: the list of addresses, checks, the origin's word, the order, thresholds.
    bool take_back(const OriginMonitor& before, TimePoint now);

    /// As published: what the machine found out, below the origin's word, below the operator's. An order to be up hides
    /// an ejection as well: who knows better than probes and failures may say so.
    State state() const noexcept;
    CheckSet failing() const noexcept { return failing_; }
    CheckState check(std::size_t number) const noexcept;
    /// Of an address that is not known: unknown.
    State address_state(std::string_view address) const noexcept;
    /// The same, for next_probe(): an ejected origin has its addresses probed at the transitional interval.
    State schedule_state(std::string_view address) const noexcept;
    /// True once every address has had a result, or the first resolve failed: the first round is over.
    bool decided() const noexcept;
    /// As published. The round trip is the mean over addresses that are not down.
    OriginHealth health(TimePoint now) const noexcept;

private:
    struct CheckCount {
        Hysteresis results;
        Finding last = Finding::missing;
        bool known = false;  ///< a body was read: the first one decides alone
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
