#pragma once

#include "proxy/shared/snapshot.h"

#include <string>
#include <string_view>

namespace nearhop::origin {

/// The name in a Host field: lower case, without port, brackets and one trailing dot.
std::string name_in(std::string_view host_field);

/// The name that a connection for a request with this Host must be secured by, where the origin's follows the Host:
/// then it is a part of what the connection is good for. Empty: it is the origin's one, whatever the request.
std::string followed_name(const shared::OriginInfo& origin, std::string_view host_field);

}  // namespace nearhop::origin
