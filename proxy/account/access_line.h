#pragma once

#include "proxy/account/access_log.h"

#include <cstddef>
#include <string_view>

namespace nearhop::account {

/// Room that one line needs at most; longer texts of clients are cut (the path at 8 KiB).
inline constexpr std::size_t access_line_room = 64 * 1024;

/// One line with its line end, written into `out`, which has room for access_line_room. Pure, no allocation.
std::string_view format_access_line(char* out, const AccessRecord& record, conf::LogFormat format) noexcept;

}  // namespace nearhop::account
