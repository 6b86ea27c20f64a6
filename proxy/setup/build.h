#pragma once

#include "conf/parse.h"
#include "geo/database.h"
#include "proxy/shared/snapshot.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nearhop::setup {

/// The meaning pass: regions, certificates, CA files, databases, trust. Everything of a snapshot that comes from the
/// configuration; addresses and verdicts are the control thread's. `check`, start and reload all call this.
struct BuildResult {
    std::optional<shared::Snapshot> snapshot;  ///< set exactly when no problem is an error
    conf::Problems problems;                   ///< of this pass only
};
BuildResult build(conf::Config config, const wire::TicketKeys& keys);

/// Both passes over one file, with the problems of both.
BuildResult load(const std::string& file, const wire::TicketKeys& keys, conf::Accept accept = conf::Accept::any_file);

/// A network of the configuration; what is none is a problem.
std::optional<geo::Cidr> network_from(const conf::At<std::string>& text, conf::Problems& problems);

/// Opens a geo database and tries it out; also what a changed file has to pass before it replaces the one in use. A
/// file that has not changed since somebody who still uses it opened it is not read again.
geo::Database::OpenResult open_database(const std::string& file, std::uint64_t most_bytes = UINT64_MAX);
/// The IP version, "IPv4" or "IPv6", without any located address in the databases; empty: none.
std::string_view unlocated_by(const std::vector<std::shared_ptr<const geo::Database>>& databases);

/// The overrides of a configuration that build() accepted, over other databases.
std::shared_ptr<const geo::Locator> build_locator(const conf::Geo& geo,
                                                  std::vector<std::shared_ptr<const geo::Database>> databases);

}  // namespace nearhop::setup
