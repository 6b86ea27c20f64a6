#pragma once

#include "proxy/admin/page.h"

#include <string_view>

namespace nearhop::admin {

inline constexpr std::string_view origins_path = "/origins/";

/// POST /origins/NAME/drain, force-up, force-down and clear, from somebody who may. Parameters from the body, as a form
/// has them, or from the query: author and reason, which have to be there, `for` and `force`. 409: the other origins
/// have no room.
loop::Task<Page> override_page(const Ask& ask, const Process& process);

}  // namespace nearhop::admin
