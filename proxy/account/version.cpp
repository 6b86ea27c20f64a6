#include "proxy/account/version.h"

namespace nearhop::account {

std::string_view version() noexcept { return NEARHOP_VERSION; }

}  // namespace nearhop::account
