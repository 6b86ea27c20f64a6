#pragma once

#include <string_view>

/// Checks that every protocol makes of the authority that a client names.
namespace nearhop::client {

/// RFC 3986 section 3.2.2 with a port; no userinfo, and no escapes: two recipients could read two names in them. Empty
/// is legal where a request names no authority.
bool valid_authority(std::string_view text);

/// The authority without port and trailing dot.
std::string_view host_of(std::string_view authority);

}  // namespace nearhop::client
