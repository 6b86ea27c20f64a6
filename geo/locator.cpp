#include "geo/locator.h"

#include "geo/catalogue.h"

#include <algorithm>
#include <utility>

namespace nearhop::geo {
namespace {

/// Gives a place with a known country the best point that our own tables have, and its continent.
void fill_from_tables(Place& place) noexcept {
    const CountryFacts* known = place.country ? facts(*place.country) : nullptr;
    if (known != nullptr && !place.continent) place.continent = known->continent;
    if (place.point) {
        place.level = Level::point;
        return;
    }
    if (place.country) {
        place.level = Level::country;
        place.point = subdivision_point(*place.country, place.subdivision);
        if (place.point)
            place.level = Level::subdivision;
        else if (known != nullptr)
            place.point = known->point;
    } else if (place.continent) {
        place.level = Level::continent;
    }
}

/// Whether somebody at the point is hardly in the country: a country of another continent is nearer, and it is too far
/// away for a neighbour across a border of continents (the Canaries, Istanbul).
bool contradicts(const Point& point, const CountryFacts& country) noexcept {
    constexpr int neighbour_km = 2000;
    const CountryFacts* nearest = &country;
    for (std::size_t i = 0; i < Country::count; ++i) {
        const CountryFacts* other = facts(Country::from_index(i));
        if (other && closeness(point, other->point) > closeness(point, nearest->point)) nearest = other;
    }
    return nearest->continent != country.continent && distance_km(point, country.point) > neighbour_km;
}

/// A registered country says who owns the network, not where its users are: it yields to what else the record says.
bool yields(Country registered, const std::optional<Continent>& continent, const std::optional<Point>& point) noexcept {
    const CountryFacts* known = facts(registered);
    if (known == nullptr) return continent || point;
    return (continent && *continent != known->continent) || (point && contradicts(*point, *known));
}

Place place_of(const Record& record) noexcept {
    Place place;
    place.continent = record.continent;
    place.point = record.point;
    if (!record.registered_only || !yields(*record.country, record.continent, record.point)) {
        place.country = record.country;
        place.low_confidence = record.registered_only;
    }
    std::copy(std::begin(record.subdivision), std::end(record.subdivision), place.subdivision);
    fill_from_tables(place);
    if (place.level != Level::none) place.source = Source::database;
    return place;
}

void set_subdivision(std::string_view code, Place& place) noexcept {
    if (code.size() >= sizeof place.subdivision) return;
    std::transform(code.begin(), code.end(), place.subdivision,
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
}

}  // namespace

std::string_view name(Source source) noexcept {
    switch (source) {
        case Source::none: return "default";
        case Source::header: return "header";
        case Source::cidr: return "cidr";
        case Source::database: return "database";
    }
    return "default";
}

std::string_view name(Level level) noexcept {
    switch (level) {
        case Level::none: return "none";
        case Level::continent: return "continent";
        case Level::country: return "country";
        case Level::subdivision: return "subdivision";
        case Level::point: return "point";
    }
    return "none";
}

Place place_of(Country country, Source source) noexcept { return place_of(country, {}, source); }

Place place_of(Country country, std::string_view subdivision, Source source) noexcept {
    Place place;
    place.country = country;
    place.source = source;
    set_subdivision(subdivision, place);
    fill_from_tables(place);
    return place;
}

Place place_of(const Point& point, std::optional<Country> country, Source source) noexcept {
    Place place;
    place.country = country;
    place.point = point;
    place.source = source;
    fill_from_tables(place);
    return place;
}

void add_country(Place& place, const Place& looked_up) noexcept {
    if (looked_up.low_confidence && yields(*looked_up.country, std::nullopt, place.point)) return;
    place.country = looked_up.country;
    place.continent = looked_up.continent;
    place.low_confidence = looked_up.low_confidence;
}

Locator::Locator(std::vector<Override> overrides, std::vector<std::shared_ptr<const Database>> databases)
    : overrides_{std::move(overrides)}, databases_{std::move(databases)} {
    std::vector<std::pair<Cidr, std::uint32_t>> networks;
    networks.reserve(overrides_.size());
    for (std::uint32_t i = 0; i < overrides_.size(); ++i) networks.emplace_back(overrides_[i].cidr, i);
    table_ = CidrTable{std::move(networks)};
}

std::optional<Place> Locator::override_of(const Address& address) const noexcept {
    if (table_.empty()) return std::nullopt;
    const auto index = table_.find(address.canonical());
    if (!index) return std::nullopt;
    const Override& found = overrides_[*index];
    Place place;
    place.country = found.country;
    place.point = found.point;
    place.source = Source::cidr;
    if (found.has_origins) place.override_index = index;
    if (found.point && !found.country) add_country(place, look_up(address.canonical()));
    fill_from_tables(place);
    return place;
}

/// By the databases alone.
Place Locator::look_up(const Address& canonical) const noexcept {
    Place place;
    if (canonical.is_special()) return place;
    for (const auto& database : databases_) {
        Record record;
        if (database->lookup(canonical, record) != Lookup::found) continue;
        place = place_of(record);
        if (place.level != Level::none) break;  // a record that says nothing is no hit
    }
    return place;
}

Place Locator::locate(const Address& address) const noexcept {
    const Address canonical = address.canonical();
    const auto chosen = override_of(canonical);
    if (chosen && chosen->level != Level::none) return *chosen;

    Place place = look_up(canonical);
    if (chosen) {
        // An override that only lists origins: they come first, and the address's own place orders the others.
        place.source = Source::cidr;
        place.override_index = chosen->override_index;
    }
    return place;
}

}  // namespace nearhop::geo
