#include "geo/point.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace nearhop::geo {

std::optional<Point> point_at(double latitude, double longitude) noexcept {
    // Written so that NaN fails every comparison, and with it the whole test.
    if (!(std::abs(latitude) <= 90.0 && std::abs(longitude) <= 180.0)) return std::nullopt;
    if (latitude == 0.0 && longitude == 0.0) return std::nullopt;
    const double phi = latitude * std::numbers::pi / 180.0;
    const double lambda = longitude * std::numbers::pi / 180.0;
    return Point{std::cos(phi) * std::cos(lambda), std::cos(phi) * std::sin(lambda), std::sin(phi)};
}

double distance_exact_km(const Point& a, const Point& b) noexcept {
    // Rounding may take the product of a point with itself past 1, where acos has no value.
    return 6371.0 * std::acos(std::clamp(closeness(a, b), -1.0, 1.0));
}

int distance_km(const Point& a, const Point& b) noexcept { return whole_km(distance_exact_km(a, b)); }

}  // namespace nearhop::geo
