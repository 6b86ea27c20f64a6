#pragma once

#include "conf/config.h"
#include "health/isolation.h"
#include "health/missing_checks.h"
#include "health/origin_health.h"
#include "health/outage.h"
#include "health/schedule.h"
#include "proxy/control/control.h"
#include "proxy/control/isolation_watch.h"
#include "proxy/control/probe.h"
#include "proxy/control/resolver.h"
#include "proxy/control/status.h"
#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"
#include "proxy/shared/registry.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nearhop::control {

/// One origin's life on the control thread: keeps its name resolved and its addresses probed, and feeds its monitor
/// with what probes and live traffic learn. Lives on over reloads as long as the origin's identity does. Logs changes.
class OriginWatch {
public:
    /// What all watches share; outlives them.
    struct Surroundings {
        loop::Loop& loop;
        std::function<double()> dice;   ///< uniform in [0, 1)
        std::function<void()> changed;  ///< something published changed; must not touch watches
        IsolationWatch& isolation;
        shared::Registry& registry;
    };

    /// What the origin's name resolved to, and when it is asked for again.
    struct Known {
        std::vector<geo::Address> addresses{};
        loop::TimePoint resolved_at{}, next_resolve{};
        conf::seconds ttl{};
    };

    /// Begins with the addresses in `known`, on which it has no verdict yet.
    OriginWatch(Surroundings& around, OriginFigures& figures, const conf::Passive& passive, const conf::Probe& probe,
                Known known);
    OriginWatch(const OriginWatch&) = delete;
    OriginWatch& operator=(const OriginWatch&) = delete;

    /// Takes on the settings of a new configuration (the first one too) and starts or goes on. `resolver` must stay
    /// until the next call.
    void configure(const shared::OriginInfo& info, const conf::Origin& origin, const conf::Failback& failback,
                   const conf::Dns& dns, Resolver& resolver);

    void on_report(const shared::PassiveReport& report);
    /// Of what workers counted since then.
    void on_traffic(std::uint64_t successes, std::uint64_t failures, loop::TimePoint since);
    /// Once a second: what holds for a time only may be over.
    void on_tick();
    /// The operator's order; the caller logs it. True if it is a new one.
    bool set_override(health::Override order);

    /// The edge is cut off: what its failures did is taken back, and stands until the end. True when a verdict or an
    /// ejection was.
    bool begin_isolation();
    void end_isolation(loop::Clock::duration lasted);

    // Whether something published may have changed since it was last taken; taking it resets them.
    bool health_is_news = true, addresses_are_news = true;

    const std::string& host() const noexcept { return host_; }
    const Known& known() const noexcept { return known_; }
    bool decided() const noexcept { return monitor_.decided(); }
    /// As to be published: small moves of the round trip are left out.
    health::OriginHealth health();
    std::vector<shared::Endpoint> endpoints() const;
    Control::Status::Origin status() const;

private:
    struct AddressWatch {
        AddressWatch(loop::Loop& loop, const shared::Endpoint& where)
            : endpoint{where}, prober{loop, where}, wake{loop}, timer{loop, wake} {}
        shared::Endpoint endpoint;
        Prober prober;
        loop::Wake wake;
        loop::Timer timer;
        loop::TimePoint began{};
        loop::TimePoint due{};  ///< max: a probe is under way
        double dice = 0;        ///< of the present wait: a second look at its end must not throw again
        bool probed = false;
        ProbeOutcome last;
        loop::Task<> task;  // last: ends before what it uses
    };

    loop::Task<> keep_resolving();
    loop::Task<> keep_probing(AddressWatch& address);
    void learn(const Resolved& resolved);
    void use(const Resolved& resolved);
    void learn(AddressWatch& address, const ProbeOutcome& outcome);
    void log_checks(std::string_view address);
    void warn_of_checks(const ProbeOutcome& outcome, std::string_view address);
    void set_addresses(const std::vector<geo::Address>& addresses);
    void note_failure();
    void look_at_return(std::uint64_t answers, std::uint64_t failures);
    void announce() {
        health_is_news = addresses_are_news = true;
        around_.changed();
    }
    void probe_now() noexcept;
    void hurry() noexcept;  ///< waits that the present state makes shorter end sooner
    loop::TimePoint next_probe(const AddressWatch& address) const;

    struct States {
        health::State origin, address;
    };
    States states(std::string_view address) const;
    /// Logs, counts and announces what has changed since `was`.
    void tell(std::string_view address, const States& was);
    /// Runs one call of the monitor and tells what it changed, if it did.
    template <class Call>
    void apply(std::string_view address, Call call) {
        const States was = states(address);
        const bool changed = call();
        hurry();  // an ejection makes the probes faster even where nothing is published
        if (changed) tell(address, was);
    }

    Surroundings& around_;
    OriginFigures& figures_;
    health::OriginMonitor monitor_;
    std::string name_, host_;
    std::uint16_t port_ = 0;
    health::Intervals intervals_;
    std::shared_ptr<const ProbePlan> plan_;
    std::vector<conf::Check> checks_;
    health::CheckSet logged_ = 0;  ///< checks that fail, as the log knows it
    health::MissingChecks missing_;
    bool told_unread_ = false;  ///< under this configuration
    conf::milliseconds agent_expiry_{};
    conf::seconds min_ttl_{}, max_ttl_{};
    std::shared_ptr<shared::OriginLoad> load_;  ///< what the workers share of the origin
    double shown_rtt_ = -1;
    health::Failback failback_;
    health::Outage outage_;
    health::Before before_;
    std::uint64_t answers_ = 0, failures_ = 0;  ///< of live traffic since the last tick

    bool by_name_ = false;
    Resolver* resolver_ = nullptr;
    Known known_;
    std::string resolve_error_;
    std::size_t dropped_ = 0;  ///< of the last answer's addresses, for want of room
    loop::Wake resolve_wake_;
    loop::Timer resolve_timer_;

    std::vector<std::unique_ptr<AddressWatch>> addresses_;
    loop::Task<> resolving_;  // last: ends before what it uses
};

shared::Endpoint endpoint_of(const geo::Address& address, std::uint16_t port);

}  // namespace nearhop::control
