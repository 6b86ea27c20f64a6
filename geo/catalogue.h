#pragma once

#include "geo/country.h"
#include "geo/point.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Cloud regions and country points (geo/data, embedded in the binary).
namespace nearhop::geo {

struct CloudRegion {
    std::string provider;  ///< aws, gcp, azure
    std::string name;      ///< us-east-1
    std::string place;     ///< N. Virginia (Ashburn)
    std::optional<Country> country;
    double latitude = 0;
    double longitude = 0;
    Point point;
};

/// nullptr when no provider has a region of that name. Start-up only.
const CloudRegion* find_region(std::string_view name) noexcept;
std::vector<std::string> region_names();  ///< for "did you mean"

struct CountryFacts {
    std::string name;
    Continent continent = Continent::europe;
    Point point;  ///< population-weighted
    double latitude = 0;
    double longitude = 0;
};

/// nullptr for codes that are no country; one array index, safe on the request path.
const CountryFacts* facts(Country country) noexcept;

/// The point of a US state or Canadian province ("US", "CA"); nullopt elsewhere.
std::optional<Point> subdivision_point(Country country, std::string_view subdivision) noexcept;

/// Members of the built-in groups "eu" (European Union) and "eea"; empty for other names.
std::vector<Country> built_in_group(std::string_view name);

}  // namespace nearhop::geo
