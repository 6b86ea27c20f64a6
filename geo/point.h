#pragma once

#include <optional>

namespace nearhop::geo {

/// A place on Earth as a unit vector: distances are then dot products, without trigonometry per request.
struct Point {
    double x = 0;
    double y = 0;
    double z = 0;
};

/// nullopt unless both are finite and |latitude| <= 90, |longitude| <= 180; (0, 0) is "unknown" and refused too.
std::optional<Point> point_at(double latitude, double longitude) noexcept;

/// Cosine of the angle between two points: larger is nearer. Three multiplications.
constexpr double closeness(const Point& a, const Point& b) noexcept { return a.x * b.x + a.y * b.y + a.z * b.z; }

/// Great-circle distance in kilometres (mean radius 6371 km), before rounding.
double distance_exact_km(const Point& a, const Point& b) noexcept;

/// Rounded half up. Distances are never negative, so cutting off is right, and half the price of lround.
constexpr int whole_km(double km) noexcept {
    return static_cast<int>(km + 0.5);  // NOLINT(bugprone-incorrect-roundings)
}

/// Great-circle distance in whole kilometres.
int distance_km(const Point& a, const Point& b) noexcept;

/// Milliseconds of round trip that the distance model expects: 10 + 0.016 * km (fit over AWS regions).
constexpr double model_rtt_ms(double km) noexcept { return 10.0 + 0.016 * km; }

}  // namespace nearhop::geo
