#pragma once

#include <string_view>

namespace nearhop::account {

std::string_view version() noexcept;  ///< "0.1.0", of the build

}  // namespace nearhop::account
