#pragma once

#include "proxy/account/fault.h"
#include "proxy/simulate/events.h"
#include "proxy/simulate/random.h"
#include "proxy/simulate/scenario.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace nearhop::simulate {

/// The truth that the edge can only guess at: what each address of each origin does at this moment.
class Network {
public:
    Network(const Scenario& scenario, Events& events, Random& random);

    /// Plans the scenario's events. Calls `changed` for each one at an origin, after it took effect, and `control` for
    /// the others.
    using Changed = std::function<void(geo::OriginId, unsigned address, const Fault& now)>;
    using ControlChanged = std::function<void(const Fault& now)>;
    void start(Changed changed, ControlChanged control);

    /// A try to get a connection, as proxy/origin/dial.h goes about it: two addresses, the second one on failure or
    /// after a moment. `down` says which addresses probes hold for down; they come last.
    struct Dialled {
        struct Failure {
            unsigned address = 0;
            account::Fault fault = account::Fault::none;
        };
        account::Fault fault = account::Fault::none;
        microseconds took{};
        unsigned address = 0;  ///< connected to this one, 0-based
        std::vector<Failure> failures;
    };
    Dialled dial(geo::OriginId origin, const std::vector<bool>& down, unsigned turn, const conf::Failover& limits);

    /// What comes back on an open connection.
    struct Answer {
        enum class Kind { head, reset, silence } kind = Kind::head;
        microseconds after{};
        unsigned status = 200;
    };
    Answer answer(geo::OriginId origin, unsigned address, Fault::Hits who);

    /// One round trip, with its noise.
    microseconds trip(geo::OriginId origin, unsigned address, Fault::Hits who);
    /// What `who` meets there now.
    Fault fault(geo::OriginId origin, unsigned address, Fault::Hits who) const;
    /// What the control targets do now.
    const Fault& control_fault() const noexcept { return control_.fault; }
    bool tls(geo::OriginId origin) const { return scenario_.config.origins[origin].url->tls; }

private:
    void apply(const Event& event, bool on, std::uint64_t generation);
    struct Place {
        Fault fault;
        std::uint64_t changes = 0;  ///< a later event ends the turns of an earlier one
    };
    struct Try {
        microseconds ends{};
        account::Fault fault = account::Fault::none;
    };
    Try dial_address(geo::OriginId origin, unsigned address, microseconds begins, const conf::Failover& limits);

    const Scenario& scenario_;
    Events& events_;
    Random& random_;
    std::vector<std::vector<Place>> places_;  ///< by origin, by address
    Place control_;
    std::uint64_t generation_ = 0;
    Changed changed_;
    ControlChanged control_changed_;
};

/// "errors share=30% hits=requests", for the timeline.
std::string describe(const Fault& fault);

}  // namespace nearhop::simulate
