#pragma once

#include "health/verdict.h"
#include "proxy/shared/snapshot.h"

#include <memory>
#include <string>
#include <vector>

namespace nearhop::shared {

/// What live traffic learnt of an origin; sent in batches, once per batch of events at most.
struct PassiveReport {
    std::shared_ptr<const Routing> routing;  ///< the configuration that `origin` counts in
    geo::OriginId origin = 0;
    health::Passive result = health::Passive::ok;
    health::Reason reason = health::Reason::none;
    std::string address;  ///< Endpoint::text when a dial to one address failed; empty: the attempt as a whole
    health::Agent agent = health::Agent::none;  ///< what the origin said of itself; then the report is of this alone
    bool wants_probe = false;  ///< a request that cannot be moved wants to know whether the addresses live; no more
};

/// Where workers report to: the control thread, which alone judges. Any thread.
class ReportSink {
public:
    virtual void report(std::vector<PassiveReport> reports) = 0;

protected:
    ~ReportSink() = default;
};

}  // namespace nearhop::shared
