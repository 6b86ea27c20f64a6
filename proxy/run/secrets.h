#pragma once

#include "conf/config.h"
#include "conf/problem.h"

namespace nearhop::run {

/// Reads the secrets that stand in files and in the environment into the configuration. Problems name the file or the
/// variable and where in it something is wrong, and nothing of what it holds.
void read_secrets(conf::Config& config, conf::Problems& problems);

}  // namespace nearhop::run
