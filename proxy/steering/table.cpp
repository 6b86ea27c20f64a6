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

/// `/files` holds `/files` and `/files/x` but not `/filesystem`; `/files/` holds what is below it; `/` holds
/// everything, also the `*` of OPTIONS, so that a rule for the whole site has no hole.
bool holds(std::string_view prefix, std::string_view path) noexcept {
    if (prefix.empty() || prefix == "/") return true;
    if (!path.starts_with(prefix)) return false;
    return prefix.back() == '/' || path.size() == prefix.size() || path[prefix.size()] == '/';
}

/// "/files/*" holds `/files` and what is below it, another pattern itself alone.
bool matches(std::string_view pattern, std::string_view path) noexcept {
    if (!pattern.ends_with("/*")) return path == pattern;
    return holds(pattern.substr(0, pattern.size() - 2), path);
}

}  // namespace

std::optional<Position> SiteTable::position_of(OriginId id) const noexcept {
    const auto found = std::find(origins.begin(), origins.end(), id);
    if (found == origins.end()) return std::nullopt;
    return static_cast<Position>(found - origins.begin());
}

bool needs_failing(const OriginTable& origin, health::CheckSet failing, std::string_view method,
                   std::string_view path) noexcept {
    for (std::size_t i = 0; failing != 0 && i < origin.checks.size(); ++i, failing = failing >> 1) {
        if ((failing & 1u) == 0) continue;
        const conf::Check& check = origin.checks[i];
        if (check.need == conf::Need::writes && method_class(method) != MethodClass::safe) return true;
        if (check.need == conf::Need::paths &&
            std::any_of(check.paths.begin(), check.paths.end(),
                        [path](std::string_view pattern) { return matches(pattern, path); }))
            return true;
    }
    return false;
}

RouteId route_of(const SiteTable& site, std::string_view method, std::string_view path, bool decoded) noexcept {
    const std::size_t last = site.routes.size() - 1;  // build_table puts a route for everything there
    for (std::size_t i = 0; i < last; ++i) {
        const RouteTable& route = site.routes[i];
        if (!holds(decoded ? route.decoded_prefix : route.path_prefix, path)) continue;
        if (route.methods.empty() ||
            std::find(route.methods.begin(), route.methods.end(), method) != route.methods.end())
            return static_cast<RouteId>(i);
    }
    return static_cast<RouteId>(last);
}

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
    // dot has no label for the star.
    for (auto dot = name.find('.', 1); dot != name.npos && !wildcards.empty(); dot = name.find('.', dot + 1))
        if (const auto found = wildcards.find(name.substr(dot)); found != wildcards.end()) return found->second;
    return default_site;
}

}  // namespace nearhop::steering
