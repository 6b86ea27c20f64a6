#include "proxy/steering/ordering.h"

#include <algorithm>
#include <cstring>

namespace nearhop::steering {
namespace {

/// The first candidate is `spilled` where an origin before it, in the order of the policy, has no room.
void tell_spilled(const Rules& rules, const Ranks& ranks, Decision& decision) noexcept {
    if (decision.candidate_count == 0 || ranks[decision.candidates[0].id] >= Rank::full) return;
    bool no_room = false;
    for (std::size_t i = 0; i < decision.considered_count; ++i) {
        Considered& origin = decision.considered[i];
        if (origin.id == decision.candidates[0].id) {
            if (no_room) origin.reason = decision.candidates[0].reason = Reason::spilled;
            return;
        }
        const Rank rank = ranks[origin.id];
        no_room |= rules.allowed[origin.id] && (rank == Rank::busy || rank == Rank::full);
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

    order_by_policy(site, table, place, rules, ranks, health, decision);

    // Step 7: the first three, rank by rank, each rank in the order of the policy.
    const Rank worst = worst_used(best, site.all_down);
    decision.candidate_count = 0;
    const auto considered = std::span{decision.considered}.first(decision.considered_count);
    const auto reason_at = [&](Rank rank, OriginId id, Reason policy) noexcept {
        if (rank == Rank::local_skip && local.stalled[id]) return Reason::stalled;
        if (rank == Rank::local_skip && local.on_trial[id]) return Reason::on_trial;
        if (rank == Rank::busy && rank == best) return chosen_reason(Rank::up, true, rules.narrowed, policy);
        return chosen_reason(without_skip(rank, id, facts, table, health), any_known, rules.narrowed, policy);
    };
    const OriginId first = decision.first.id;
    for (auto rank = best; rank <= worst; rank = static_cast<Rank>(static_cast<int>(rank) + 1)) {
        for (Considered& origin : considered) {
            if (!rules.allowed[origin.id] || ranks[origin.id] != rank) continue;
            if (decision.candidate_count == max_candidates) {
                origin.reason = Reason::surplus;
                continue;
            }
            origin.reason = reason_at(rank, origin.id, origin.reason);
            decision.candidates[decision.candidate_count++] = origin;
        }
    }
    tell_spilled(rules, ranks, decision);
    const auto reason_without = [&](OriginId id) noexcept {
        if (!rules.allowed[id]) return forbidden(rules, id);
        return passed_over(without_skip(ranks[id], id, facts, table, health), health.origins[id].state);
    };
    for (Considered& origin : considered)
        if (!rules.allowed[origin.id] || ranks[origin.id] > worst) origin.reason = reason_without(origin.id);

    if (decision.candidate_count != 0 && decision.candidates[0].id == first) return;
    const bool aside = !rules.allowed[first] || ranks[first] > Rank::local_skip;
    decision.first.passed_over = aside ? reason_without(first) : reason_at(ranks[first], first, Reason::surplus);
}

}  // namespace nearhop::steering
