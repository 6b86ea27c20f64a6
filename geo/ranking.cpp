#include "geo/ranking.h"

#include "geo/catalogue.h"

#include <algorithm>
#include <utility>

namespace nearhop::geo {
namespace {

constexpr std::uint16_t no_row = 0xffff;

Order as_given(std::span<const OriginPoint> origins) noexcept {
    Order order;
    for (const OriginPoint& origin : origins.first(std::min(origins.size(), max_origins))) {
        order.ids[order.count] = origin.id;
        order.km[order.count] = -1;
        ++order.count;
    }
    return order;
}

}  // namespace

void order_by_distance(const Point& from, std::span<const OriginPoint> origins, Order& order) noexcept {
    const auto considered = origins.first(std::min(origins.size(), max_origins));
    std::array<std::int32_t, max_origins> costs;
    std::size_t count = 0;
    // Insertion sort: origins are few, and it is stable, so equal costs keep the order of the configuration.
    for (const OriginPoint& origin : considered) {
        if (!origin.point) continue;
        const double km = distance_exact_km(from, *origin.point);
        const int cost = whole_km(km * (100 - origin.bias) / 100);
        std::size_t place = count++;
        for (; place > 0 && costs[place - 1] > cost; --place) {
            costs[place] = costs[place - 1];
            order.ids[place] = order.ids[place - 1];
            order.km[place] = order.km[place - 1];
        }
        costs[place] = cost;
        order.ids[place] = origin.id;
        order.km[place] = whole_km(km);
    }
    for (const OriginPoint& origin : considered) {
        if (origin.point) continue;
        order.ids[count] = origin.id;
        order.km[count++] = -1;
    }
    order.count = static_cast<std::uint8_t>(count);
}

Ranking::Ranking(std::vector<OriginPoint> origins)
    : origins_{std::move(origins)}, default_{as_given(origins_)}, row_of_(Country::count, no_row) {
    for (std::size_t index = 0; index < Country::count; ++index) {
        const CountryFacts* known = facts(Country::from_index(index));
        if (known == nullptr) continue;
        row_of_[index] = static_cast<std::uint16_t>(rows_.size());
        order_by_distance(known->point, origins_, rows_.emplace_back());
    }
}

const Order& Ranking::of(Country country) const noexcept {
    if (row_of_.empty()) return default_;
    const std::uint16_t row = row_of_[country.index()];
    return row == no_row ? default_ : rows_[row];
}

}  // namespace nearhop::geo
