#pragma once

#include "conf/parse.h"
#include "proxy/snapshot.h"

#include <memory>
#include <optional>
#include <string>

namespace nearhop::run {

/// The meaning pass: regions, certificates, CA files, databases, trust. Everything of a snapshot that comes from the
/// configuration; addresses and verdicts are the control thread's. `check`, start and reload all call this.
struct BuildResult {
    std::optional<Snapshot> snapshot;  ///< set exactly when no problem is an error
    conf::Problems problems;           ///< of this pass only
};
BuildResult build(conf::Config config, const wire::TicketKeys& keys);

/// Both passes over one file.
BuildResult load(const std::string& file, const wire::TicketKeys& keys);

}  // namespace nearhop::run
