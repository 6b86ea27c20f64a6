#pragma once

#include "geo/country.h"
#include "geo/point.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace nearhop::geo {

/// Dense index of an origin in the configuration, in [0, max_origins).
using OriginId = std::uint8_t;
inline constexpr std::size_t max_origins = 64;  ///< per configuration; regions are few

/// An ordered list of origins with their distances; fixed size, so that building one allocates nothing.
struct Order {
    std::array<OriginId, max_origins> ids{};
    std::array<std::int32_t, max_origins> km{};  ///< by position; -1: unknown
    std::uint8_t count = 0;
};

/// The position of one origin, for ranking.
struct OriginPoint {
    OriginId id = 0;
    std::optional<Point>
        point;     ///< without one it never wins by distance, but keeps its configuration place at the end
    int bias = 0;  ///< percent: biased = distance * (1 - bias / 100)
};

/// Orders `origins` by biased distance from `from` in whole kilometres; ties by the order given.
/// No trigonometry but one acos per origin; no allocation.
void order_by_distance(const Point& from, std::span<const OriginPoint> origins, Order& order) noexcept;

/// The same for every country, precomputed when a snapshot is built: a request does one array index.
class Ranking {
public:
    Ranking() = default;
    explicit Ranking(std::vector<OriginPoint> origins);

    const Order& of(Country country) const noexcept;  ///< default order for codes without facts
    const Order& in_default_order() const noexcept { return default_; }
    std::span<const OriginPoint> origins() const noexcept { return origins_; }

private:
    std::vector<OriginPoint> origins_;
    Order default_{};
    std::vector<std::uint16_t> row_of_;  ///< by Country::index()
    std::vector<Order> rows_;
};

}  // namespace nearhop::geo
