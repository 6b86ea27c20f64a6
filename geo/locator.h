#pragma once

#include "geo/address.h"
#include "geo/country.h"
#include "geo/database.h"
#include "geo/point.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace nearhop::geo {

enum class Source : std::uint8_t { none, header, cidr, database };                 ///< metric label geo_source
enum class Level : std::uint8_t { none, continent, country, subdivision, point };  ///< metric label geo_level
std::string_view name(Source source) noexcept;                                     ///< "default" for none
std::string_view name(Level level) noexcept;

/// Where a client is and how we know it. Trivially copyable, no allocation.
struct Place {
    std::optional<Country> country;
    std::optional<Continent> continent;
    std::optional<Point> point;  ///< client's own coordinates, or its subdivision's or country's point
    char subdivision[4] = {};
    Source source = Source::none;
    Level level = Level::none;    ///< how precise `point` is
    bool low_confidence = false;  ///< `country` is only where the network is registered
    /// Index into the operator's overrides when one lists origins: they come first, in that order.
    std::optional<std::uint32_t> override_index;
};

/// A place from a country code alone (a CDN header, `explain --country`): point, continent and level filled in.
Place place_of(Country country, Source source) noexcept;
/// The same where the header also names a subdivision (ISO 3166-2 part after the dash; either case).
Place place_of(Country country, std::string_view subdivision, Source source) noexcept;
/// A place from trusted coordinates; `country` may be known beside them.
Place place_of(const Point& point, std::optional<Country> country, Source source) noexcept;

/// Adds the databases' country and continent of the address to a place whose point comes from elsewhere. If a
/// registered country contradicts the point, the point wins.
void add_country(Place& place, const Place& looked_up) noexcept;

/// An operator's override, resolved.
struct Override {
    Cidr cidr;
    std::optional<Country> country;
    std::optional<Point> point;
    bool has_origins = false;  ///< the origin list itself stays in the configuration, at the same index
};

/// Locates addresses: overrides by longest prefix, special ranges, then the databases in order.
/// Immutable; read from any thread; no sockets, no allocation per lookup.
class Locator {
public:
    Locator(std::vector<Override> overrides, std::vector<std::shared_ptr<const Database>> databases);

    /// Any address; it is made canonical here.
    Place locate(const Address& address) const noexcept;
    /// Only the operator's override for the address, which beats even trusted headers. One that gives a point has the
    /// databases' country.
    std::optional<Place> override_of(const Address& address) const noexcept;

    const std::vector<std::shared_ptr<const Database>>& databases() const noexcept { return databases_; }

private:
    Place look_up(const Address& canonical) const noexcept;

    std::vector<Override> overrides_;
    CidrTable table_;
    std::vector<std::shared_ptr<const Database>> databases_;
};

}  // namespace nearhop::geo
