#include "proxy/client/authority.h"

#include <charconv>
#include <cstdint>
#include <system_error>

namespace nearhop::client {

bool valid_authority(std::string_view text) {
    std::string_view port;
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos || text.substr(0, end).find(':') == std::string_view::npos) return false;
        for (const char c : text.substr(1, end - 1))
            if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.'))
                return false;
        port = text.substr(end + 1);
        if (!port.empty() && port.front() != ':') return false;
        if (!port.empty()) port.remove_prefix(1);
    } else {
        const auto colon = text.find(':');
        const auto name = text.substr(0, colon);
        // A single dot may end a name (the root); an empty label has no meaning that all agree about.
        if (name.starts_with('.') || name.find("..") != std::string_view::npos) return false;
        for (const char c : name) {
            const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                               c == '.' || c == '_' || c == '~';
            if (!plain) return false;
        }
        if (colon != std::string_view::npos) {
            if (name.empty()) return false;
            port = text.substr(colon + 1);
        }
    }
    if (port.empty()) return true;
    std::uint16_t number = 0;  // too large for it is refused by from_chars
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    return error == std::errc{} && end == port.data() + port.size();
}

std::string_view host_of(std::string_view authority) {
    if (authority.starts_with('[')) return authority.substr(0, authority.find(']') + 1);
    auto host = authority.substr(0, authority.find(':'));
    if (host.ends_with('.')) host.remove_suffix(1);
    return host;
}

}  // namespace nearhop::client
