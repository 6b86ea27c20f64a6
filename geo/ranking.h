#pragma once

#include "conf/origin.h"
#include "geo/country.h"
#include "geo/point.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace nearhop::geo {

/// Dense index of an origin in the configuration, in [0, conf::most_origins).
using OriginId = std::uint16_t;

/// The place of an origin among those of its site, in the order of the configuration: [0, conf::most_site_origins). A
/// type of its own, for an OriginId in its stead would name another origin.
enum class Position : std::uint8_t {};
constexpr std::size_t index_of(Position position) noexcept { return static_cast<std::size_t>(position); }

/// An ordered list of a site's origins with their distances in km, -1: unknown. Views only.
struct OrderView {
    std::span<const Position> origins;
    const std::int32_t* km = nullptr;  ///< by place in `origins`

    std::size_t size() const noexcept { return origins.size(); }
};

/// The same by value; fixed size, so that building one allocates nothing.
struct Order {
    std::array<Position, conf::most_site_origins> origins;  ///< unset from `count` on, as `km`
    std::array<std::int32_t, conf::most_site_origins> km;
    std::size_t count = 0;

    operator OrderView() const noexcept { return {std::span{origins}.first(count), km.data()}; }  // NOLINT
};

/// The position of one origin, for ranking.
struct OriginPoint {
    std::optional<Point>
        point;     ///< without one it never wins by distance, but keeps its configuration place at the end
    int bias = 0;  ///< percent: biased = distance * (1 - bias / 100)
};

/// Orders `origins`, given by Position, by biased distance from `from` in whole kilometres; ties by the order given.
/// Leaves out those beyond conf::most_site_origins. No trigonometry but one acos per origin; no allocation.
void order_by_distance(const Point& from, std::span<const OriginPoint> origins, Order& order) noexcept;

/// The same for every country, precomputed when a snapshot is built: a request does one array index. Five bytes per
/// country and origin.
class Ranking {
public:
    Ranking() = default;
    explicit Ranking(std::vector<OriginPoint> origins);

    OrderView of(Country country) const noexcept;  ///< default order for codes without facts
    OrderView in_default_order() const noexcept { return row(0); }
    std::span<const OriginPoint> origins() const noexcept { return origins_; }

private:
    OrderView row(std::size_t number) const noexcept {
        const std::size_t begin = number * origins_.size();
        return {{order_.data() + begin, origins_.size()}, km_.data() + begin};
    }

    std::vector<OriginPoint> origins_;
    // Row by row, the default order first, then the countries that have facts.
    std::vector<Position> order_;
    std::vector<std::int32_t> km_;
};

}  // namespace nearhop::geo
