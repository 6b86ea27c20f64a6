#pragma once

#include "health/failback.h"
#include "health/isolation.h"
#include "health/leader.h"
#include "health/origin_health.h"
#include "health/schedule.h"
#include "proxy/simulate/network.h"
#include "proxy/simulate/outcome.h"

#include <optional>
#include <string>
#include <vector>

namespace nearhop::simulate {

/// What the control thread does (proxy/control/control.cpp, origin_watch.cpp, origin_verdict.cpp), on the virtual clock
/// and with the production machines: probes by schedule, passive reports, traffic counts once a second, the way back,
/// the leaders of sites by latency; and the table that workers decide by, published when it differs.
class Verdicts {
public:
    Verdicts(const Scenario& scenario, Events& events, Network& network, Random& random,
             std::vector<Happening>& timeline);

    /// Probes from now on. Nothing is in the timeline before t = 0.
    void start();

    const health::Table& table() const noexcept { return published_; }
    std::vector<bool> addresses_down(geo::OriginId origin) const;

    /// A report of an attempt as a whole, or of a dial to one address.
    void on_attempt(geo::OriginId origin, health::Passive result, health::Reason reason);
    void on_dial(geo::OriginId origin, unsigned address, health::Passive result, health::Reason reason);
    /// For the rule on shares of failures, looked at once a second.
    void count(geo::OriginId origin, bool good);

private:
    struct Address {
        std::string text;  ///< its key at the monitor: "1", "2"
        TimePoint began{}, due{};
        std::uint64_t plan = 0;  ///< of several planned starts only the last one counts
        bool probing = false, probed = false;
        double dice = 0;
        TimePoint connected{};  ///< when its kept connection was made
        bool kept = false;
    };
    struct Origin {
        health::OriginMonitor monitor;
        health::Failback failback;
        health::Intervals intervals;
        std::vector<Address> addresses{};
        std::uint64_t ok = 0, failed = 0;         ///< since traffic was read
        std::uint64_t answers = 0, failures = 0;  ///< since the last tick
        double shown_rtt = -1;
        health::Before before{};
    };
    struct Control {
        std::string name;
        TimePoint began{}, due{};
        std::uint64_t plan = 0;
        bool checking = false;
    };

    void tick();
    void read_traffic();
    void hurry_traffic();
    void probe(geo::OriginId id, Address& address);
    struct Probed {
        health::ProbeResult result;
        microseconds took{};
        double rtt_ms = -1;
    };
    Probed ask(geo::OriginId id, Address& address);
    TimePoint next_probe(const Origin& origin, const Address& address) const;
    void plan(geo::OriginId id, Address& address, TimePoint due);
    void hurry(geo::OriginId id);

    template <class Call>
    void apply(geo::OriginId id, Call call);
    void look_at_failback(geo::OriginId id, std::uint64_t ok, std::uint64_t failed);
    void look_at_leaders();

    // What IsolationWatch does.
    void plan_check(Control& control, TimePoint due);
    void check(Control& control);
    void heard(std::string_view who, TimePoint earliest);
    void silent(geo::OriginId id);
    void note_failure(geo::OriginId id);
    bool hear(geo::OriginId id, health::Passive result, health::Reason reason);
    bool traffic_is_ours() const { return guard_.is_ours(events_.now() - grace_); }
    void on_isolation(std::string_view by);

    health::OriginHealth health_of(geo::OriginId id);
    void publish();
    void tell(std::string what);

    const Scenario& scenario_;
    Events& events_;
    Network& network_;
    Random& random_;
    std::vector<Happening>& timeline_;
    std::vector<Origin> origins_;
    std::vector<health::Leader> leaders_;  ///< by SiteId; of other policies unused
    health::Table published_;
    health::Isolation guard_;
    std::vector<Control> controls_;
    milliseconds grace_{};
    TimePoint traffic_read_{};
    bool traffic_planned_ = false;
};

}  // namespace nearhop::simulate
