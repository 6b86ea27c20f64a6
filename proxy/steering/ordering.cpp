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
    Ordering(const SiteTable& site, const Table& table, const geo::Place& place, const Rules& rules,
             Decision& decision) noexcept
        : site_{site}, table_{table}, place_{place}, rules_{rules}, decision_{decision}, left_{site.members} {
        decision_.considered_count = 0;
    }

    void write(const geo::Order& distances, const health::Table& health, const Ranks& ranks) noexcept {
        if (place_.override_index && *place_.override_index < table_.overrides.size())
            for (const OriginId id : table_.overrides[*place_.override_index])
                add(id, Reason::override_order, km_of(id, distances));
        if (rules_.row != nullptr) {
            const bool unlocated = site_.unlocated && rules_.row == &*site_.unlocated;
            for (const OriginId id : rules_.row->listed)
                add(id, unlocated ? Reason::unlocated : Reason::country_map, km_of(id, distances));
            if (rules_.row->nearest_to_edge) add_by_latency(distances, health, ranks);
        }
        switch (site_.policy) {
            case conf::Policy::nearest:
            case conf::Policy::country: add_nearest(distances); break;
            case conf::Policy::failover:
                for (const OriginId id : site_.failover_order) add(id, Reason::failover_order, km_of(id, distances));
                break;
            case conf::Policy::latency: add_by_latency(distances, health, ranks); break;
        }
        decision_.first = {fastest_.value_or(decision_.considered[0].id), std::nullopt};
    }

private:
    void add(OriginId id, Reason reason, std::int32_t km) noexcept {
        if (!left_[id]) return;
        left_.reset(id);
        decision_.considered[decision_.considered_count++] = {id, reason, km};
    }

    static std::int32_t km_of(OriginId id, const geo::Order& distances) noexcept {
        for (std::size_t i = 0; i < distances.count; ++i)
            if (distances.ids[i] == id) return distances.km[i];
        return -1;
    }

    void add_nearest(const geo::Order& distances) noexcept {
        for (std::size_t i = 0; i < distances.count; ++i) {
            const bool first = i == 0 && decision_.considered_count == 0;
            const std::int32_t km = distances.km[i];
            add(distances.ids[i], km < 0 ? Reason::failover_order : first ? Reason::nearest : Reason::next_nearest, km);
        }
    }

    struct Timed {
        OriginId id;
        std::int32_t km;
        std::int32_t ms;  ///< rounded, so that ties are real ties; unknown_ms: neither measured nor modelled
        bool in_band;     ///< as good as the best: weights decide
        unsigned weight;
        bool leads;  ///< the site keeps to it
    };
    static constexpr std::int32_t unknown_ms = std::numeric_limits<std::int32_t>::max();

    /// Where nothing is measured the prior is the distance model over the client's distance: the edge's own position is
    /// not known, and edges stand near their clients where anyone asks for this policy.
    std::int32_t milliseconds_to(OriginId id, std::int32_t km, const health::Table& health) const noexcept {
        const double measured = id < health.origins.size() ? health.origins[id].rtt_ms : -1;
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
    void note_fastest(std::span<const Timed> timed, const Ranks& ranks) noexcept {
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
        const bool may_serve = rules_.allowed[first->id] && ranks[first->id] <= Rank::unknown;
        if (!may_serve) fastest_ = first->id;
    }

    void add_by_latency(const geo::Order& distances, const health::Table& health, const Ranks& ranks) noexcept {
        std::array<Timed, geo::max_origins> timed;
        std::size_t count = 0;
        // The best is one that can serve: a band around a region that is down would order the others by chance.
        std::int32_t best = unknown_ms;
        std::int32_t best_of_any = unknown_ms;
        for (const OriginId id : site_.failover_order) {
            if (!left_[id]) continue;  // the override's
            const std::int32_t km = km_of(id, distances);
            const std::int32_t ms = milliseconds_to(id, km, health);
            const bool may_serve = rules_.allowed[id] && ranks[id] <= Rank::unknown;
            const bool leads = may_serve && health.leader_of(decision_.site) == static_cast<std::int32_t>(id);
            timed[count++] = {id, km, ms, false, table_.origins[id].weight, leads};
            if (!rules_.allowed[id]) continue;
            best_of_any = std::min(best_of_any, ms);
            if (may_serve) best = std::min(best, ms);
        }
        if (decision_.considered_count == 0) note_fastest(std::span{timed}.first(count), ranks);
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
            add(timed[i].id,
                timed[i].ms == unknown_ms ? Reason::failover_order
                : first                   ? Reason::lowest_latency
                                          : Reason::next_latency,
                timed[i].km);
        }
    }

    const SiteTable& site_;
    const Table& table_;
    const geo::Place& place_;
    const Rules& rules_;
    Decision& decision_;
    std::optional<OriginId> fastest_;  ///< note_fastest()
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

void order_by_policy(const SiteTable& site, const Table& table, const geo::Place& place, const Rules& rules,
                     const Ranks& ranks, const health::Table& health, Decision& decision) noexcept {
    with_distances(site, place, [&](const geo::Order& distances) noexcept {
        Ordering{site, table, place, rules, decision}.write(distances, health, ranks);
    });
}

}  // namespace nearhop::steering
