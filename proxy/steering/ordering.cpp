#include "proxy/steering/ordering.h"

#include "health/leader.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>

namespace nearhop::steering {
namespace {

class Ordering {
public:
    Ordering(const Case& request, const geo::Place& place, const Standings& standings, Decision& decision) noexcept
        : case_{request},
          site_{request.site},
          place_{place},
          standings_{standings},
          decision_{decision},
          left_{request.site.members} {
        decision_.considered_count = 0;
    }

    void write(const geo::OrderView& distances) noexcept {
        const auto& overrides = case_.table.overrides;
        if (place_.override_index && *place_.override_index < overrides.size())
            for (const OriginId id : overrides[*place_.override_index])
                if (const auto position = site_.position_of(id))
                    add(*position, Reason::override_order, km_of(*position, distances));
        if (const CountryOrder* row = case_.rules.row; row != nullptr) {
            const bool unlocated = site_.unlocated && row == &*site_.unlocated;
            for (const Position position : row->listed)
                add(position, unlocated ? Reason::unlocated : Reason::country_map, km_of(position, distances));
            if (row->nearest_to_edge) add_by_latency(distances);
        }
        switch (site_.policy) {
            case conf::Policy::nearest:
            case conf::Policy::country: add_nearest(distances); break;
            case conf::Policy::failover:
                for (std::size_t i = 0; i < site_.origins.size(); ++i) {
                    const auto position = static_cast<Position>(i);
                    add(position, Reason::failover_order, km_of(position, distances));
                }
                break;
            case conf::Policy::latency: add_by_latency(distances); break;
        }
        const Position first = fastest_.value_or(decision_.considered[0].position);
        decision_.first = {site_.origins[index_of(first)], std::nullopt, first};
    }

private:
    void add(Position position, Reason reason, std::int32_t km) noexcept {
        if (!left_[position]) return;
        left_.reset(position);
        decision_.considered[decision_.considered_count++] = {site_.origins[index_of(position)], position, reason, km};
    }

    static std::int32_t km_of(Position position, const geo::OrderView& distances) noexcept {
        for (std::size_t i = 0; i < distances.size(); ++i)
            if (distances.origins[i] == position) return distances.km[i];
        return -1;
    }

    void add_nearest(const geo::OrderView& distances) noexcept {
        for (std::size_t i = 0; i < distances.size(); ++i) {
            const bool first = i == 0 && decision_.considered_count == 0;
            const std::int32_t km = distances.km[i];
            add(distances.origins[i],
                km < 0  ? Reason::failover_order
                : first ? Reason::nearest
                        : Reason::next_nearest,
                km);
        }
    }

    struct Timed {
        Position position;
        std::int32_t km;
        std::int32_t ms;  ///< rounded, so that ties are real ties; unknown_ms: neither measured nor modelled
        bool in_band;     ///< as good as the best: weights decide
        unsigned weight;
        bool leads;  ///< the site keeps to it
    };
    static constexpr std::int32_t unknown_ms = std::numeric_limits<std::int32_t>::max();

    /// Where nothing is measured the prior is the distance model over the client's distance: the edge's own position is
    /// not known, and edges stand near their clients where anyone asks for this policy.
    std::int32_t milliseconds_to(OriginId id, std::int32_t km) const noexcept {
        const auto& known = case_.health.origins;
        const double measured = id < known.size() ? known[id].rtt_ms : -1;
        if (measured >= 0) return static_cast<std::int32_t>(std::lround(std::min(measured, 1e6)));
        return km < 0 ? unknown_ms : static_cast<std::int32_t>(std::lround(geo::model_rtt_ms(km)));
    }

    static std::int32_t band_above(std::int32_t best) noexcept {
        return best == unknown_ms ? -1 : health::latency_band(best);
    }

    static bool before(const Timed& a, const Timed& b) noexcept {
        if (a.leads != b.leads) return a.leads;
        if (a.in_band != b.in_band) return a.in_band;
        return a.in_band ? a.weight > b.weight : a.ms < b.ms;
    }

    /// The one that would be first were all well: where it cannot serve, the band is drawn around another one, and the
    /// order alone does not tell that it was the first choice.
    void note_fastest(std::span<const Timed> timed) noexcept {
        std::int32_t best = unknown_ms;
        for (const Timed& each : timed) best = std::min(best, each.ms);
        const std::int32_t band = band_above(best);
        std::optional<Timed> first;
        for (Timed each : timed) {
            each.in_band = each.ms <= band;
            each.leads = false;
            if (!first || before(each, *first)) first = each;
        }
        if (!first) return;
        if (!may_serve(first->position)) fastest_ = first->position;
    }

    bool may_serve(Position position) const noexcept { return standings_[position].rank <= Rank::unknown; }

    void add_by_latency(const geo::OrderView& distances) noexcept {
        std::array<Timed, conf::most_site_origins> timed;
        std::size_t count = 0;
        // The best is one that can serve: a band around a region that is down would order the others by chance.
        std::int32_t best = unknown_ms;
        std::int32_t best_of_any = unknown_ms;
        const std::int32_t leader = case_.health.leader_of(decision_.site);
        for (std::size_t i = 0; i < site_.origins.size(); ++i) {
            const auto position = static_cast<Position>(i);
            if (!left_[position]) continue;  // the override's
            const OriginId id = site_.origins[i];
            const std::int32_t km = km_of(position, distances);
            const std::int32_t ms = milliseconds_to(id, km);
            const bool serves = may_serve(position);
            timed[count++] = {position, km, ms, false, case_.table.origins[id].weight, serves && leader == id};
            if (!case_.rules.allowed[position]) continue;
            best_of_any = std::min(best_of_any, ms);
            if (serves) best = std::min(best, ms);
        }
        if (decision_.considered_count == 0) note_fastest(std::span{timed}.first(count));
        const std::int32_t band = band_above(best != unknown_ms ? best : best_of_any);
        for (std::size_t i = 0; i < count; ++i) {
            Timed item = timed[i];
            item.in_band = item.ms <= band;
            std::size_t at = i;  // insertion sort: few, and stable, so that ties keep the configuration's order
            for (; at > 0 && before(item, timed[at - 1]); --at) timed[at] = timed[at - 1];
            timed[at] = item;
        }
        for (std::size_t i = 0; i < count; ++i) {
            const bool first = decision_.considered_count == 0;
            add(timed[i].position,
                timed[i].ms == unknown_ms ? Reason::failover_order
                : first                   ? Reason::lowest_latency
                                          : Reason::next_latency,
                timed[i].km);
        }
    }

    const Case& case_;
    const SiteTable& site_;
    const geo::Place& place_;
    const Standings& standings_;
    Decision& decision_;
    std::optional<Position> fastest_;  ///< note_fastest()
    OriginSet left_;                   ///< members that are not written yet
};

/// Calls `use` with the members' distances from the place: of the client's own point, else its country's precomputed
/// row, else none are known.
template <class Use>
void with_distances(const SiteTable& site, const geo::Place& place, Use use) noexcept {
    if (place.level == geo::Level::country && place.country) return use(site.nearest.of(*place.country));
    if (!place.point) return use(site.nearest.in_default_order());
    geo::Order order;
    geo::order_by_distance(*place.point, site.nearest.origins(), order);
    use(order);
}

}  // namespace

void order_by_policy(const Case& request, const geo::Place& place, const Standings& standings,
                     Decision& decision) noexcept {
    with_distances(request.site, place, [&](const geo::OrderView& distances) noexcept {
        Ordering{request, place, standings, decision}.write(distances);
    });
}

}  // namespace nearhop::steering
