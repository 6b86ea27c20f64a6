#include "health/leader.h"
#include "proxy/steering/decision.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace nearhop::steering {
namespace {

/// The row of the `country` policy for a place: country (groups are expanded into it), continent, default.
const CountryOrder* row_for(const SiteTable& site, const geo::Place& place) noexcept {
    if (site.policy != conf::Policy::country) return nullptr;
    std::int16_t row = -1;
    if (place.country && !site.row_of_country.empty()) row = site.row_of_country[place.country->index()];
    if (row < 0 && place.continent) row = site.row_of_continent[static_cast<std::size_t>(*place.continent)];
    if (row < 0) row = site.default_row;
    return row < 0 ? nullptr : &site.rows[static_cast<std::size_t>(row)];
}

/// Step 4: who may serve this request at all. What is not allowed never comes back, whatever fails.
struct Rules {
    OriginSet by_route;
    OriginSet by_write;
    OriginSet by_country;
    OriginSet allowed;
    const CountryOrder* row = nullptr;
    Reason narrowed = Reason::surplus;  ///< writer or pinned where such a rule took origins away; surplus: none did
};

Rules rules_for(const SiteTable& site, const RouteTable& route, const Facts& facts, const geo::Place& place) noexcept {
    Rules rules;
    rules.by_route = site.members & route.allowed;
    rules.by_write = method_class(facts.method) == MethodClass::safe ? site.members : site.members & site.writers;
    rules.by_country = site.members;
    rules.row = row_for(site, place);
    if (rules.row != nullptr && rules.row->only) {
        OriginSet listed;
        for (const OriginId id : rules.row->listed) listed.set(id);
        rules.by_country &= listed;
    }
    if (rules.by_route != site.members) rules.narrowed = Reason::pinned;
    if ((rules.by_route & rules.by_write) != rules.by_route) rules.narrowed = Reason::writer;
    rules.allowed = rules.by_route & rules.by_write & rules.by_country;
    return rules;
}

Reason forbidden(const Rules& rules, OriginId id) noexcept {
    if (!rules.by_route[id]) return Reason::forbidden_route;
    if (!rules.by_write[id]) return Reason::forbidden_write;
    return Reason::forbidden_country;
}

/// Step 6: how far back health moves an origin. Up to local_skip it is a normal candidate. Worse ones are used only
/// when no normal one but a skipped one is left, and those that are down only when all are.
enum class Rank : std::uint8_t {
    up,
    busy,  ///< up, but near its capacity
    degraded,
    unknown,
    returning,
    full,
    local_skip,
    leaving,
    check_failed,
    ejected,
    aside_and_skipped,
    down,
    never
};

/// Draining is the operator's own word, not a guess of the machine that may be overruled: a draining origin gets no new
/// exchange even when every other one is down. Who drains the last origin of a site wants it left alone; likewise who
/// forces it down. An origin's own word is that of software, and all of them may say the same: it can be overruled.
///
/// A request that needs a failing check stays away like from an ejected origin, not only behind the others as from a
/// degraded one: a write on a read-only database fails, or worse, half succeeds, so that it is no second choice while
/// an origin is there that can do it. It is the last one all the same: checks may be wrong, and an answer of the
/// application says more than a 503 of ours.
Rank rank_of(OriginId id, const Facts& facts, const Table& table, const health::Table& health,
             const Local& local) noexcept {
    const OriginSet& local_skips = local.skips;
    if (id >= health.origins.size())
        return local_skips[id] ? Rank::local_skip : local.full[id] ? Rank::full : Rank::unknown;
    const health::OriginHealth& seen = health.origins[id];
    const health::State& state = seen.state;
    if (state.draining || state.order == health::Override::force_down) return Rank::never;
    if (state.verdict == health::Verdict::down) return Rank::down;
    Rank aside = Rank::up;
    if (state.ejected)
        aside = Rank::ejected;
    else if (seen.failing != 0 && needs_failing(table.origins[id], seen.failing, facts.method, facts.path))
        aside = Rank::check_failed;
    else if (state.agent == health::Agent::drain)
        aside = Rank::leaving;
    if (aside != Rank::up) return local_skips[id] ? Rank::aside_and_skipped : aside;
    if (local_skips[id]) return Rank::local_skip;
    if (local.full[id]) return Rank::full;
    if (seen.share <= facts.line) return Rank::returning;
    switch (state.verdict) {
        case health::Verdict::up: return local.busy[id] ? Rank::busy : Rank::up;
        case health::Verdict::degraded: return Rank::degraded;
        default: return Rank::unknown;
    }
}

using Ranks = std::array<Rank, geo::max_origins>;  ///< by OriginId; only members are filled

/// Step 5: all members of the site in the order of its policy, written to decision.considered.
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
        switch (site_.policy) {
            case conf::Policy::nearest: add_nearest(distances); break;
            case conf::Policy::country:
                if (rules_.row != nullptr)
                    for (const OriginId id : rules_.row->listed) add(id, Reason::country_map, km_of(id, distances));
                add_nearest(distances);
                break;
            case conf::Policy::failover:
                for (const OriginId id : site_.failover_order) add(id, Reason::failover_order, km_of(id, distances));
                break;
            case conf::Policy::latency: add_by_latency(distances, health, ranks); break;
        }
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
    OriginSet left_;  ///< members that are not written yet
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

/// The worst rank that still makes a candidate, given the best one that is there.
Rank worst_used(Rank best, conf::AllDown all_down) noexcept {
    if (best <= Rank::full) return Rank::local_skip;
    if (best <= Rank::aside_and_skipped) return Rank::aside_and_skipped;
    return best == Rank::down && all_down == conf::AllDown::open ? Rank::down : Rank::aside_and_skipped;
}

/// What keeps an origin aside that just refused a connection as well: the worst of it, as rank_of() judges.
Rank without_skip(Rank rank, OriginId id, const Facts& facts, const Table& table,
                  const health::Table& health) noexcept {
    return rank == Rank::aside_and_skipped ? rank_of(id, facts, table, health, Local{}) : rank;
}

/// The reason of a candidate: health's where health moved it, else a rule's, else the policy's.
Reason chosen_reason(Rank rank, bool any_known, Reason narrowed, Reason policy) noexcept {
    switch (rank) {
        case Rank::degraded: return Reason::degraded;
        case Rank::unknown:
            if (any_known) return Reason::unknown;
            break;  // the first seconds: no verdict has moved anything
        case Rank::returning: return Reason::returning;
        case Rank::local_skip: return Reason::local_skip;
        case Rank::leaving: return Reason::leaving;
        case Rank::check_failed: return Reason::check_overruled;
        case Rank::ejected: return Reason::last_eligible;
        case Rank::down: return Reason::all_down_open;
        case Rank::busy: return Reason::busy;
        case Rank::full: return Reason::full;
        case Rank::up:
        case Rank::aside_and_skipped:
        case Rank::never: break;
    }
    return narrowed == Reason::surplus || policy == Reason::override_order ? policy : narrowed;
}

/// Whether the first candidate stands there because an origin before it, in the order of the policy, has no room.
bool is_spilled(std::span<const Considered> considered, const Rules& rules, const Ranks& ranks,
                OriginId first) noexcept {
    for (const Considered& origin : considered) {
        if (origin.id == first) return false;
        if (rules.allowed[origin.id] && (ranks[origin.id] == Rank::busy || ranks[origin.id] == Rank::full)) return true;
    }
    return false;
}

/// Of an allowed origin that is no candidate although there was room for one.
Reason passed_over(Rank rank, const health::State& state) noexcept {
    switch (rank) {
        case Rank::leaving: return Reason::agent_draining;
        case Rank::check_failed: return Reason::check_failed;
        case Rank::ejected: return Reason::ejected;
        case Rank::down: return Reason::down;
        case Rank::never: return state.draining ? Reason::draining : Reason::forced_down;
        default: return Reason::surplus;
    }
}

}  // namespace

std::uint16_t line_of(const geo::Address& client) noexcept {
    const geo::Address address = client.canonical();
    std::uint64_t halves[2];
    std::memcpy(halves, address.bytes().data(), sizeof halves);
    std::uint64_t hash = address.is_v4() ? halves[1] : halves[0];
    for (int round = 0; round < 2; ++round) {  // every bit of the result depends on every bit of the address
        hash ^= hash >> 32;
        hash *= 0x9e3779b97f4a7c15U;
    }
    return static_cast<std::uint16_t>(hash >> 48);
}

void decide(const Facts& facts, const geo::Place& place, const Table& table, const health::Table& health,
            const Local& local, Decision& decision) noexcept {
    const SiteTable& site = table.sites[facts.site];
    decision.site = facts.site;
    decision.route = route_of(site, facts.method, facts.path, false);
    const Rules rules = rules_for(site, site.routes[decision.route], facts, place);

    Ranks ranks;
    Rank best = Rank::never;
    bool any_known = false;
    for (const OriginId id : site.failover_order) {
        ranks[id] = rank_of(id, facts, table, health, local);
        if (!rules.allowed[id]) continue;
        best = std::min(best, ranks[id]);
        any_known |= id < health.origins.size() && health.origins[id].state.verdict != health::Verdict::unknown;
    }

    with_distances(site, place, [&](const geo::Order& distances) noexcept {
        Ordering{site, table, place, rules, decision}.write(distances, health, ranks);
    });

    // Step 7: the first three, rank by rank, each rank in the order of the policy.
    const Rank worst = worst_used(best, site.all_down);
    decision.candidate_count = 0;
    const auto considered = std::span{decision.considered}.first(decision.considered_count);
    for (auto rank = best; rank <= worst; rank = static_cast<Rank>(static_cast<int>(rank) + 1)) {
        for (Considered& origin : considered) {
            if (!rules.allowed[origin.id] || ranks[origin.id] != rank) continue;
            if (decision.candidate_count == max_candidates) {
                origin.reason = Reason::surplus;
                continue;
            }
            const Reason policy = origin.reason;
            origin.reason =
                chosen_reason(without_skip(rank, origin.id, facts, table, health), any_known, rules.narrowed, policy);
            if (rank == Rank::busy && rank == best)
                origin.reason = chosen_reason(Rank::up, true, rules.narrowed, policy);
            if (rank == Rank::local_skip && local.on_trial[origin.id]) origin.reason = Reason::on_trial;
            if (rank == Rank::local_skip && local.stalled[origin.id]) origin.reason = Reason::stalled;
            decision.candidates[decision.candidate_count++] = origin;
        }
    }
    if (decision.candidate_count != 0 && ranks[decision.candidates[0].id] < Rank::full &&
        is_spilled(considered, rules, ranks, decision.candidates[0].id)) {
        decision.candidates[0].reason = Reason::spilled;
        for (Considered& origin : considered)
            if (origin.id == decision.candidates[0].id) origin.reason = Reason::spilled;
    }
    for (Considered& origin : considered) {
        if (!rules.allowed[origin.id])
            origin.reason = forbidden(rules, origin.id);
        else if (ranks[origin.id] > worst)
            origin.reason = passed_over(without_skip(ranks[origin.id], origin.id, facts, table, health),
                                        health.origins[origin.id].state);
    }
}

}  // namespace nearhop::steering
