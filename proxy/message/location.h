#pragma once

#include <string>
#include <string_view>

namespace nearhop::message {

/// Of an answer's Location or Content-Location that names the Host which the origin was asked with: the same under the
/// Host that the client asked for, where the client can reach it. Empty: it stays as it is. `secure`: the client's own
/// connection is; what the origin calls http then is https, and never the other way round, which would be the circle of
/// an origin that sends everybody to https. Pure.
std::string rewritten_location(std::string_view value, std::string_view host_sent, std::string_view authority,
                               bool secure);

}  // namespace nearhop::message
