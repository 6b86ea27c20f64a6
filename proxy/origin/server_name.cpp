#include "proxy/origin/server_name.h"

#include <algorithm>

namespace nearhop::origin {

std::string name_in(std::string_view host_field) {
    if (host_field.starts_with('[')) {
        host_field = host_field.substr(1, host_field.find(']') - 1);
    } else {
        host_field = host_field.substr(0, host_field.find(':'));
        if (host_field.ends_with('.')) host_field.remove_suffix(1);
    }
    std::string name{host_field};
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return name;
}

std::string followed_name(const shared::OriginInfo& origin, std::string_view host_field) {
    if (!origin.tls || !origin.follows_host) return {};
    std::string name = name_in(host_field);
    return name.empty() ? origin.server_name : name;
}

}  // namespace nearhop::origin
