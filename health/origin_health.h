#pragma once

#include "health/latency.h"
#include "health/table.h"
#include "health/verdict.h"

#include <string>
#include <string_view>
#include <vector>

namespace nearhop::health {

/// Health of one origin, composed of one machine for the origin (ejection, drain) and one per address (probes, dials).
/// Lives on the control thread and outlives reloads and DNS changes; addresses are known by their text.
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

    bool set_draining(bool draining, TimePoint now) { return origin_.set_draining(draining, now); }
    void set_thresholds(const Thresholds& thresholds);

    State state() const noexcept;
    /// Of an address that is not known: unknown.
    State address_state(std::string_view address) const noexcept;
    /// The same, for next_probe(): an ejected origin has its addresses probed at the transitional interval.
    State schedule_state(std::string_view address) const noexcept;
    /// True once every address has had a result, or the first resolve failed: the first round is over.
    bool decided() const noexcept;
    /// As published. The round trip is the mean over addresses that are not down.
    OriginHealth health(TimePoint now) const noexcept;

private:
    struct Address {
        std::string text;
        Machine machine;
        Latency latency;
        Verdict inherited = Verdict::unknown;

        Verdict counts_as() const noexcept {
            return machine.state().verdict == Verdict::unknown ? inherited : machine.state().verdict;
        }
    };

    Address* find(std::string_view text) noexcept;
    const Address* find(std::string_view text) const noexcept;
    bool combine(TimePoint now);

    Thresholds thresholds_;
    Machine origin_;
    std::vector<Address> addresses_;
};

}  // namespace nearhop::health
