#include "proxy/steering/ordering.h"

#include <algorithm>
#include <cstring>

namespace nearhop::steering {
namespace {

std::span<Considered> considered_of(Decision& decision) noexcept {
    return std::span{decision.considered}.first(decision.considered_count);
}

/// Whether an origin before it, in the order of the policy, would have served had it had room.
bool spills(const Considered& candidate, const Case& request, const Standings& standings,
            const Decision& decision) noexcept {
    for (const Considered& origin : decision.all()) {
        if (origin.id == candidate.id) return false;
        const Rank rank = standings[origin.position].rank;
        if ((rank == Rank::busy || rank == Rank::full) && !request.earlier.tried[origin.position]) return true;
    }
    return false;
}

/// Step 7: the first three that were not tried, rank by rank, each rank in the order of the policy. Every origin gets
/// its reason.
void choose(const Case& request, const Standings& standings, Rank worst, Decision& decision) noexcept {
    const Reason narrowed = request.rules.narrowed;
    decision.candidate_count = 0;
    for (auto rank = standings.best(); rank <= worst; rank = static_cast<Rank>(static_cast<int>(rank) + 1)) {
        if (!standings.has(rank)) continue;
        for (Considered& origin : considered_of(decision)) {
            const Standing& standing = standings[origin.position];
            if (standing.rank != rank) continue;
            if (request.earlier.tried[origin.position]) {
                origin.reason = Reason::failed;
            } else if (decision.candidate_count == max_candidates) {
                origin.reason = Reason::surplus;
            } else {
                const bool by_order = narrowed == Reason::surplus || origin.reason == Reason::override_order;
                origin.reason = reason_of_candidate(standing.reason, by_order ? origin.reason : narrowed);
                if (decision.candidate_count == 0 && rank < Rank::full && spills(origin, request, standings, decision))
                    origin.reason = Reason::spilled;
                decision.candidates[decision.candidate_count++] = origin;
            }
        }
    }
    for (Considered& origin : considered_of(decision))
        if (standings[origin.position].rank > worst) origin.reason = standings[origin.position].reason;
}

/// Whatever its verdict: the probes may be wrong, and no other origin may have the request. What is forbidden stays so,
/// by the rules and by the operator's order.
void keep_to(OriginSet pinned, const Case& request, const Standings& standings, Rank worst,
             Decision& decision) noexcept {
    decision.candidate_count = 0;
    for (Considered& origin : considered_of(decision)) {
        const Rank rank = standings[origin.position].rank;
        if (request.earlier.tried[origin.position]) continue;
        const bool is_it = pinned[origin.position] && rank < Rank::never;
        if (is_it || rank <= worst) origin.reason = Reason::key_pinned;
        if (is_it) decision.candidates[decision.candidate_count++] = origin;
    }
}

/// Why the first choice is not the first candidate; empty: it is.
std::optional<Reason> why_passed_over(const Case& request, const Standings& standings, Rank worst,
                                      const Decision& decision) noexcept {
    const FirstChoice& first = decision.first;
    if (decision.candidate_count != 0 && decision.candidates[0].id == first.id) return std::nullopt;
    const Standing& standing = standings[first.position];
    if (standing.rank > worst) return standing.reason;
    if (request.earlier.tried[first.position]) return Reason::failed;
    return request.earlier.pinned ? Reason::key_pinned : standing.reason;
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
            const Local& local, const Earlier& earlier, Decision& decision) noexcept {
    const SiteTable& site = table.sites[facts.site];
    decision.site = facts.site;
    decision.route = route_of(site, facts.method, facts.path, false);
    const Rules rules = rules_for(site, site.routes[decision.route], facts, place);
    const Case request{facts, table, site, rules, health, local, earlier};
    const Standings standings{request};
    order_by_policy(request, place, standings, decision);

    const Rank worst = worst_used(standings.best(), site.all_down);
    choose(request, standings, worst, decision);
    if (earlier.pinned) keep_to(*earlier.pinned, request, standings, worst, decision);
    decision.first.passed_over = why_passed_over(request, standings, worst, decision);
}

std::optional<Reason> passed_over(const FirstChoice& first, const Earlier& earlier, const Considered* served) noexcept {
    if (served && served->id == first.id) return std::nullopt;
    if (served && served->reason == Reason::key_pinned) return Reason::key_pinned;
    if (earlier.tried[first.position]) return Reason::failed;
    if (first.passed_over || !served) return first.passed_over;
    return Reason::late;
}

}  // namespace nearhop::steering
