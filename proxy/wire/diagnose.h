#pragma once

#include "proxy/wire/deviation.h"

#include <string_view>

namespace nearhop::wire {

/// Names what is wrong with a head that was refused, for log and metrics. The parser decides, quickly and without
/// reasons; this looks again, line by line, only where something was wrong. `head` may end anywhere. `other` when it
/// finds nothing.
Deviation diagnose_request(std::string_view head) noexcept;
Deviation diagnose_response(std::string_view head) noexcept;

}  // namespace nearhop::wire
