#include "proxy/steering/standing.h"

namespace nearhop::steering {
namespace {

const health::OriginHealth not_known{};  ///< of an origin that is newer than the table of health

const health::OriginHealth& health_of(OriginId id, const health::Table& health) noexcept {
    return id < health.origins.size() ? health.origins[id] : not_known;
}

Reason why_skipped(Position position, const Local& local) noexcept {
    return local.stalled[position] ? Reason::stalled : local.on_trial[position] ? Reason::on_trial : Reason::local_skip;
}

}  // namespace

Standing standing_of(Position position, const Case& request) noexcept {
    if (!request.rules.allowed[position]) return {Rank::forbidden, forbidden(request.rules, position)};
    const OriginId id = request.site.origins[index_of(position)];
    const health::OriginHealth& seen = health_of(id, request.health);
    const health::State& state = seen.state;
    const Local& local = request.local;
    const bool skipped = local.skips[position];
    const auto aside = [skipped](Rank rank, Reason reason) noexcept {
        return Standing{skipped ? Rank::aside_and_skipped : rank, reason};
    };
    if (state.draining) return {Rank::never, Reason::draining};
    if (state.ordered_out()) return {Rank::never, Reason::forced_down};
    if (state.verdict == health::Verdict::down) return {Rank::down, Reason::down};
    if (state.ejected) return aside(Rank::ejected, Reason::ejected);
    if (seen.failing != 0 &&
        needs_failing(request.table.origins[id], seen.failing, request.facts.method, request.facts.path))
        return aside(Rank::check_failed, Reason::check_failed);
    if (state.agent == health::Agent::drain) return aside(Rank::leaving, Reason::agent_draining);
    if (skipped) return {Rank::local_skip, why_skipped(position, local)};
    if (local.full[position] || request.earlier.full[position]) return {Rank::full, Reason::full};
    if (seen.share <= request.facts.line) return {Rank::returning, Reason::returning};
    if (state.verdict == health::Verdict::degraded) return {Rank::degraded, Reason::degraded};
    if (state.verdict == health::Verdict::unknown) return {Rank::unknown, Reason::unknown};
    if (local.busy[position]) return {Rank::busy, Reason::busy};
    return {Rank::up, Reason::surplus};
}

Standings::Standings(const Case& request) noexcept {
    const std::size_t count = request.site.origins.size();
    for (std::size_t i = 0; i < count; ++i) {
        all_[i] = standing_of(static_cast<Position>(i), request);
        ranks_ |= 1u << index(all_[i].rank);
    }
    if (best() == Rank::busy || best() == Rank::unknown) level(request);
}

/// What holds for all that may serve tells none of them apart: where all are busy, and in the first seconds, when no
/// verdict has moved anything.
void Standings::level(const Case& request) noexcept {
    const std::size_t count = request.site.origins.size();
    const Rank best_rank = best();
    for (std::size_t i = 0; best_rank == Rank::unknown && i < count; ++i)
        if (request.rules.allowed[static_cast<Position>(i)] &&
            health_of(request.site.origins[i], request.health).state.verdict != health::Verdict::unknown)
            return;
    for (std::size_t i = 0; i < count; ++i)
        if (all_[i].rank == best_rank) all_[i].reason = Reason::surplus;
}

Rank worst_used(Rank best, conf::AllDown all_down) noexcept {
    if (best <= Rank::full) return Rank::local_skip;
    if (best <= Rank::aside_and_skipped) return Rank::aside_and_skipped;
    return best == Rank::down && all_down == conf::AllDown::open ? Rank::down : Rank::aside_and_skipped;
}

Reason reason_of_candidate(Reason standing, Reason order) noexcept {
    switch (standing) {
        case Reason::surplus: return order;
        case Reason::agent_draining: return Reason::leaving;
        case Reason::check_failed: return Reason::check_overruled;
        case Reason::ejected: return Reason::last_eligible;
        case Reason::down: return Reason::all_down_open;
        default: return standing;
    }
}

}  // namespace nearhop::steering
