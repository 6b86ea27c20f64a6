#include "geo/ranking.h"

#include "geo/catalogue.h"

#include <algorithm>
#include <utility>

namespace nearhop::geo {
namespace {

constexpr Position position_of(std::size_t index) noexcept { return static_cast<Position>(index); }

/// Rows of a Ranking by Country::index(); 0 for codes without facts. The same for all rankings.
struct Rows {
    Rows() noexcept {
        for (std::size_t index = 0; index < Country::count; ++index)
            if (facts(Country::from_index(index)) != nullptr) of[index] = ++count;
    }
    std::array<std::uint16_t, Country::count> of{};
    std::uint16_t count = 0;
};
const Rows& rows() noexcept {
    static const Rows made;
    return made;
}

}  // namespace

void order_by_distance(const Point& from, std::span<const OriginPoint> origins, Order& order) noexcept {
    const std::size_t considered = std::min(origins.size(), conf::most_site_origins);
    std::array<std::int32_t, conf::most_site_origins> costs;
    std::size_t count = 0;
    // Insertion sort: origins are few, and it is stable, so equal costs keep the order of the configuration.
    for (std::size_t i = 0; i < considered; ++i) {
        const OriginPoint& origin = origins[i];
        if (!origin.point) continue;
        const double km = distance_exact_km(from, *origin.point);
        const int cost = whole_km(km * (100 - origin.bias) / 100);
        std::size_t place = count++;
        for (; place > 0 && costs[place - 1] > cost; --place) {
            costs[place] = costs[place - 1];
            order.origins[place] = order.origins[place - 1];
            order.km[place] = order.km[place - 1];
        }
        costs[place] = cost;
        order.origins[place] = position_of(i);
        order.km[place] = whole_km(km);
    }
    for (std::size_t i = 0; i < considered; ++i) {
        if (origins[i].point) continue;
        order.origins[count] = position_of(i);
        order.km[count++] = -1;
    }
    order.count = count;
}

Ranking::Ranking(std::vector<OriginPoint> origins) : origins_{std::move(origins)} {
    if (origins_.size() > conf::most_site_origins) origins_.resize(conf::most_site_origins);
    const std::size_t width = origins_.size();
    order_.reserve(width * (rows().count + 1u));
    km_.reserve(order_.capacity());
    for (std::size_t i = 0; i < width; ++i) order_.push_back(position_of(i));
    km_.resize(width, -1);
    for (std::size_t index = 0; index < Country::count; ++index) {
        const CountryFacts* known = facts(Country::from_index(index));
        if (known == nullptr) continue;
        Order order;
        order_by_distance(known->point, origins_, order);
        order_.insert(order_.end(), order.origins.begin(), order.origins.begin() + static_cast<std::ptrdiff_t>(width));
        km_.insert(km_.end(), order.km.begin(), order.km.begin() + static_cast<std::ptrdiff_t>(width));
    }
}

OrderView Ranking::of(Country country) const noexcept { return row(rows().of[country.index()]); }

}  // namespace nearhop::geo
