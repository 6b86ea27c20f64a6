#pragma once

#include "conf/config.h"
#include "conf/problem.h"

namespace nearhop::run {

/// What a start does after load(), as far as it can be tried here without doing it: nothing is made, and no port is
/// taken. A problem for what would end it. An address that is in use is none: an edge that runs holds it.
void try_start(const conf::Config& config, conf::Problems& problems);

}  // namespace nearhop::run
