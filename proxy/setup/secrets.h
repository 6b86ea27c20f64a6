#pragma once

#include "conf/config.h"
#include "conf/problem.h"

namespace nearhop::setup {

/// Reads the secrets from files and the environment into the configuration. Problems name the file or variable and the
/// position in it, and nothing of its content.
void read_secrets(conf::Config& config, conf::Problems& problems);

}  // namespace nearhop::setup
