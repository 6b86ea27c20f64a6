#include "proxy/steering/rank.h"

namespace nearhop::steering {

Rank rank_of(OriginId id, const Facts& facts, const Table& table, const health::Table& health,
             const Local& local) noexcept {
    const OriginSet& local_skips = local.skips;
    if (id >= health.origins.size())
        return local_skips[id] ? Rank::local_skip : local.full[id] ? Rank::full : Rank::unknown;
    const health::OriginHealth& seen = health.origins[id];
    const health::State& state = seen.state;
    if (state.ordered_out()) return Rank::never;
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

Rank without_skip(Rank rank, OriginId id, const Facts& facts, const Table& table,
                  const health::Table& health) noexcept {
    return rank == Rank::aside_and_skipped ? rank_of(id, facts, table, health, Local{}) : rank;
}

Rank worst_used(Rank best, conf::AllDown all_down) noexcept {
    if (best <= Rank::full) return Rank::local_skip;
    if (best <= Rank::aside_and_skipped) return Rank::aside_and_skipped;
    return best == Rank::down && all_down == conf::AllDown::open ? Rank::down : Rank::aside_and_skipped;
}

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

}  // namespace nearhop::steering
