#pragma once

#include "proxy/wire/deviation.h"

#include <string_view>

namespace nearhop::wire {

/// Names the fault of a refused head, for log and metrics. The parser decides quickly and without a reason; this reads
/// only refused heads again, line by line. `head` may end anywhere. `other` if it finds nothing.
Deviation diagnose_request(std::string_view head) noexcept;
Deviation diagnose_response(std::string_view head) noexcept;

}  // namespace nearhop::wire
