#pragma once

#include <string_view>

/// The files of geo/data inside the binary (embedded.S).
namespace nearhop::geo::embedded {

std::string_view country_database() noexcept;  ///< dbip-country.mmdb: IP Geolocation by DB-IP
std::string_view country_points() noexcept;    ///< country_points.csv
std::string_view cloud_regions() noexcept;     ///< cloud_regions.csv
std::string_view subdivisions() noexcept;      ///< admin1_us_ca.csv

}  // namespace nearhop::geo::embedded
