#include "proxy/steering/table.h"

#include <algorithm>
#include <array>

namespace nearhop::steering {
namespace {

/// The host alone: without brackets, port and one trailing dot.
std::string_view bare(std::string_view host) noexcept {
    if (!host.empty() && host.front() == '[') return host.substr(1, host.find(']') - 1);
    const auto colon = host.find(':');
    if (colon != host.npos && host.find(':', colon + 1) == host.npos) host = host.substr(0, colon);
    if (!host.empty() && host.back() == '.') host.remove_suffix(1);
    return host;
}

}  // namespace

MethodClass method_class(std::string_view method) noexcept {
    if (method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE") return MethodClass::safe;
    if (method == "PUT" || method == "DELETE") return MethodClass::idempotent;
    return MethodClass::unsafe;
}

std::optional<SiteId> Table::site_of(std::string_view host) const noexcept {
    std::array<char, 256> lower;
    host = bare(host);
    if (host.empty() || host.size() > lower.size()) return default_site;  // longer than a name can be
    std::transform(host.begin(), host.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    const std::string_view name{lower.data(), host.size()};

    if (const auto found = exact.find(name); found != exact.end()) return found->second;
    // From the first dot on, suffixes get shorter: the first hit is the longest wildcard. A name that starts with the
    // dot has no label for the star to stand for.
    for (auto dot = name.find('.', 1); dot != name.npos && !wildcards.empty(); dot = name.find('.', dot + 1))
        if (const auto found = wildcards.find(name.substr(dot)); found != wildcards.end()) return found->second;
    return default_site;
}

}  // namespace nearhop::steering
