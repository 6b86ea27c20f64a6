#include "proxy/run/version.h"

namespace nearhop::run {

std::string_view version() noexcept { return NEARHOP_VERSION; }

}  // namespace nearhop::run
