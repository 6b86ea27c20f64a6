#include "proxy/steering/rules.h"

namespace nearhop::steering {

/// The row of the `country` policy for a place: country (groups are expanded into it), continent, default. Where
/// neither a row nor a point says anything of the client, `unlocated` is before the default, and counts under every
/// policy.
const CountryOrder* row_for(const SiteTable& site, const geo::Place& place) noexcept {
    std::int16_t row = -1;
    if (site.policy == conf::Policy::country) {
        if (place.country && !site.row_of_country.empty()) row = site.row_of_country[place.country->index()];
        if (row < 0 && place.continent) row = site.row_of_continent[static_cast<std::size_t>(*place.continent)];
    }
    if (row < 0 && !place.point && site.unlocated) return &*site.unlocated;
    if (row < 0) row = site.default_row;
    return row < 0 ? nullptr : &site.rows[static_cast<std::size_t>(row)];
}

Rules rules_for(const SiteTable& site, const RouteTable& route, const Facts& facts, const geo::Place& place) noexcept {
    Rules rules;
    rules.by_route = site.members & route.allowed;
    rules.by_write = method_class(facts.method) == MethodClass::safe ? site.members : site.members & site.writers;
    rules.by_country = site.members;
    rules.row = row_for(site, place);
    if (rules.row != nullptr && rules.row->only) {
        OriginSet listed;
        for (const Position position : rules.row->listed) listed.set(position);
        rules.by_country &= listed;
    }
    if (rules.by_route != site.members) rules.narrowed = Reason::pinned;
    if ((rules.by_route & rules.by_write) != rules.by_route) rules.narrowed = Reason::writer;
    rules.allowed = rules.by_route & rules.by_write & rules.by_country;
    return rules;
}

Reason forbidden(const Rules& rules, Position position) noexcept {
    if (!rules.by_route[position]) return Reason::forbidden_route;
    if (!rules.by_write[position]) return Reason::forbidden_write;
    return Reason::forbidden_country;
}

}  // namespace nearhop::steering
