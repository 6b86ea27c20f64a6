#pragma once

#include "conf/config.h"
#include "conf/problem.h"
#include "proxy/shared/snapshot.h"

#include <memory>
#include <string>
#include <vector>

namespace nearhop::setup {

/// Reads the networks of a service from a file in AWS's form. `error` says why not; empty: read.
shared::TrustedRanges read_ranges(const std::string& file, const std::string& service, std::string& error);

/// Why `next` must not replace the networks in force; empty: it may. Many networks do not leave a service at once: a
/// list that is suddenly half as long is a damaged one, and would turn away the peers that it lost.
std::string too_short(const shared::TrustedRanges& in_force, const shared::TrustedRanges& next);

/// Whom to trust, by a configuration that build_trust() accepted and by the lists of its entries, in their order.
std::shared_ptr<const steering::Trust> make_trust(const conf::Clients& clients,
                                                  const std::vector<shared::TrustedRanges>& ranges);

/// Fills in the snapshot's trust and what of it comes from files.
void build_trust(const conf::Config& config, shared::Snapshot& snapshot, conf::Problems& problems);

/// Problems of lists that are much shorter than the ones in force, for a reload.
void refuse_short_ranges(const shared::Snapshot& in_force, const shared::Snapshot& next, const conf::Clients& clients,
                         conf::Problems& problems);

}  // namespace nearhop::setup
