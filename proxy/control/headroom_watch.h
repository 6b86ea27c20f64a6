#pragma once

#include "proxy/control/overrides.h"
#include "proxy/shared/registry.h"
#include "proxy/shared/snapshot.h"
#include "proxy/steering/headroom.h"

#include <string>
#include <vector>

namespace nearhop::control {

/// Feeds steering::Headroom with what the workers have in flight, logs what changes, and judges orders by it. On the
/// control thread.
class HeadroomWatch {
public:
    explicit HeadroomWatch(const shared::Registry& registry) : registry_{registry} {}

    /// Once a second. One line when the loss of an origin would overload the others, one when it no longer would.
    void look(const shared::Snapshot& snapshot, health::TimePoint now);
    /// Why an order would be too much for the other origins; empty: it would not. The origin is one of the snapshot's.
    std::string overload_by(const OverrideOrder& order, const shared::Snapshot& snapshot) const;
    const std::vector<steering::Headroom::Row>& rows() const noexcept { return headroom_.rows(); }

private:
    steering::Headroom::Sample in_flight(const steering::Table& table) const;

    const shared::Registry& registry_;
    steering::Headroom headroom_;
};

}  // namespace nearhop::control
