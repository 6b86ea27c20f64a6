#pragma once

#include "conf/config.h"
#include "conf/problem.h"
#include "proxy/shared/snapshot.h"

#include <vector>

namespace nearhop::setup {

/// The origins of a configuration whose secrets have been read, with the contexts that connections to them are secured
/// by.
std::vector<shared::OriginInfo> build_origins(const conf::Config& config, conf::Problems& problems);

}  // namespace nearhop::setup
