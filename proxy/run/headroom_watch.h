#pragma once

#include "proxy/admin/registry.h"
#include "proxy/run/overrides.h"
#include "proxy/snapshot.h"
#include "proxy/steering/headroom.h"

#include <string>
#include <vector>

namespace nearhop::run {

/// Feeds steering::Headroom with what the workers have in flight, logs what changes, and judges orders by it. On the
/// control thread.
class HeadroomWatch {
public:
    explicit HeadroomWatch(const admin::Registry& registry) : registry_{registry} {}

    /// Once a second. One line when the loss of an origin would overload the others, one when it no longer would.
    void look(const Snapshot& snapshot, health::TimePoint now);
    /// Why an order would be too much for the other origins; empty: it would not. The origin is one of the snapshot's.
    std::string overload_by(const OverrideOrder& order, const Snapshot& snapshot) const;
    const std::vector<steering::Headroom::Row>& rows() const noexcept { return headroom_.rows(); }

private:
    steering::Headroom::Sample in_flight(const steering::Table& table) const;

    const admin::Registry& registry_;
    steering::Headroom headroom_;
};

}  // namespace nearhop::run
