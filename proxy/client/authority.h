#pragma once

#include <string_view>

/// Checks of a request's authority, for every protocol.
namespace nearhop::client {

/// RFC 3986 section 3.2.2 with a port; no userinfo, and no escapes: two recipients could read two names in them. Empty
/// is legal in a request without an authority.
bool valid_authority(std::string_view text);

/// The authority without port and trailing dot.
std::string_view host_of(std::string_view authority);

}  // namespace nearhop::client
