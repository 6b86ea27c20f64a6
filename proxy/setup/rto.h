#pragma once

#include "conf/config.h"
#include "conf/problem.h"
#include "health/rto.h"
#include "proxy/steering/table.h"

#include <string>
#include <vector>

namespace nearhop::setup {

/// How long the death of one origin can be felt, by its configuration and that of the sites that use it.
struct OriginRto {
    std::string origin;
    health::Rto bound;
    std::chrono::milliseconds deadline{};  ///< requests that may not move fail within this
    std::string alone_in;                  ///< a site where no other origin takes over; empty: one does everywhere
};

/// One for each origin that some site uses, in configuration order.
std::vector<OriginRto> rto_of(const conf::Config& config);

/// A problem for each origin whose bound exceeds its rto_target.
void check_rto(const conf::Config& config, conf::Problems& problems);

/// What `nearhop check` prints of it, a line for each origin.
std::string rto_text(const conf::Config& config, const steering::Table& table);

}  // namespace nearhop::setup
