#pragma once

#include "conf/config.h"
#include "proxy/shared/snapshot.h"

#include <string>

/// What probes of an origin ask with. Pure.
namespace nearhop::control {

/// SNI and verified name, as requests with the probe's Host have them.
std::string probe_server_name(const shared::OriginInfo& info, const conf::Probe& settings);

/// The whole head. Its fields: the probe's own, then those that requests to the origin get, then the usual ones of
/// probes; of one name the first counts.
std::string probe_head(const shared::OriginInfo& info, const conf::Probe& settings);

}  // namespace nearhop::control
