#include "proxy/message/location.h"

#include "proxy/wire/head.h"

#include <algorithm>

namespace nearhop::message {
namespace {

using wire::equal_ignoring_case;

bool begins_with(std::string_view text, std::string_view known) noexcept {
    return equal_ignoring_case(text.substr(0, known.size()), known);
}

std::string_view without_port(std::string_view authority, std::string_view port) noexcept {
    return authority.ends_with(port) ? authority.substr(0, authority.size() - port.size()) : authority;
}

/// A name or a bracketed address without its port.
std::string_view without_any_port(std::string_view authority) noexcept {
    return authority.substr(0, authority.find(':', authority.starts_with('[') ? authority.find(']') : 0));
}

}  // namespace

std::string rewritten_location(std::string_view value, std::string_view host_sent, std::string_view authority,
                               bool secure) {
    const bool is_https = begins_with(value, "https://");
    if (authority.empty() || !(is_https || begins_with(value, "http://"))) return {};
    std::string_view rest = value.substr(is_https ? 8 : 7);
    const std::string_view named = rest.substr(0, rest.find_first_of("/?#"));
    rest.remove_prefix(named.size());
    const std::string_view port = is_https ? ":443" : ":80";
    if (!equal_ignoring_case(without_port(named, port), without_port(host_sent, port))) return {};

    std::string rewritten = secure || is_https ? "https://" : "http://";
    // The port that the client came to is that of its own scheme.
    rewritten += is_https && !secure ? without_any_port(authority) : authority;
    rewritten += rest;
    return rewritten;
}

}  // namespace nearhop::message
