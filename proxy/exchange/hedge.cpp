#include "proxy/exchange/exchange.h"

#include <algorithm>
#include <utility>

/// The second attempt beside the first: asked when the first is late, and the first answer wins. Both are steps of the
/// one loop in ask.cpp; nothing is awaited here.
namespace nearhop::exchange {

using steering::Reason;

namespace {

/// A p95 of less is noise of the network: a hedge costs the origins a request.
constexpr loop::milliseconds least_wait{10};

/// Worth a request that may turn out to be for nothing.
bool is_sound(Reason reason) noexcept {
    return reason != Reason::local_skip && reason != Reason::stalled && reason != Reason::on_trial &&
           reason != Reason::full && reason != Reason::last_eligible && reason != Reason::all_down_open;
}

}  // namespace

/// When to ask a second origin; max: never. A fixed time counts from the beginning. The p95 is that of answers on a
/// connection: while there is none yet, three times as much, since that takes up to three round trips.
loop::TimePoint Exchange::hedge_due(loop::TimePoint asked_at) const {
    const auto& hedge = site_->hedge;
    if (hedge.kind == conf::Hedge::Kind::off || hedged_ || !config_->failover.enabled) return loop::TimePoint::max();
    const bool fit = (request_.method == "GET" || request_.method == "HEAD") && !request_.framing.has_body() &&
                     forwarding_.upgrade.empty();
    if (!fit) return loop::TimePoint::max();
    if (hedge.kind == conf::Hedge::Kind::after) return asked_at + hedge.after;
    const auto& heads = times_of(*attempt_).heads;
    if (heads.p95() == loop::Clock::duration::zero()) return loop::TimePoint::max();  // too few answers so far
    const auto wait = std::max<loop::Clock::duration>(heads.p95(), least_wait);
    return attempt_->dial ? asked_at + 3 * wait : attempt_->sent_at() + wait;
}

/// Asks the next candidate, if there is one worth asking, with room, and a token to pay for it.
void Exchange::begin_hedge() {
    hedged_ = true;
    const auto asked = attempt_->candidate.position;
    if (sent_to_.count() >= config_->failover.sent_candidates) return;
    earlier_.tried.set(asked);
    const auto* const next = next_candidate();
    earlier_.tried.reset(asked);
    if (!next || !is_sound(next->reason) || state_->budget->tokens() < 1 || !take_slot(*next)) return;
    take_token();
    ++attempts_;
    state_->origins[next->id]->hedges.add();
    hedge_ = context_.fresh_attempt();
    hedge_->candidate = *next;
    hedge_->slot = std::move(slot_);
    hedge_->counted = account::Counted{state_->origins[next->id]->in_flight};
    begin_connect(*hedge_, false);
    wake_.notify();  // its first turn
}

/// Lets the hedge go on. True: its answer came first, and it is attempt_ now.
bool Exchange::hedge_wins(Wait& wait) {
    Fault fault = Fault::none;
    const Turn turn = take_turn(*hedge_, fault);
    if (turn == Turn::pending) return false;
    const unsigned status = turn == Turn::head ? hedge_->head().status : 0;
    if (turn == Turn::head && !is_retried(status)) {
        state_->origins[hedge_->candidate.id]->hedges_won.add();
        const auto now = context_.loop.now();
        auto& times = times_of(*attempt_);
        // It took at least so long: without the late ones the p95 would shrink with each hedge.
        if (site_->hedge.kind == conf::Hedge::Kind::p95 && attempt_->begun) times.heads.add(now - attempt_->sent_at());
        if (wait.silence.waits()) {
            times.silence.gave_up(wait.silence.since());
            wait.silence.leave();
            look_for_silence(*attempt_, now);
        }
        std::swap(attempt_, hedge_);
        drop_hedge();
        return true;
    }
    // It failed by itself; the first goes on alone.
    earlier_.tried.set(hedge_->candidate.position);
    settle(*hedge_, fault, status);
    if (fault == Fault::none)
        park(std::move(hedge_));
    else
        context_.recycle(std::move(hedge_));
    return false;
}

/// The first attempt is out: it counts as any that failed, and the hedge is the one that is waited for.
void Exchange::promote_hedge(Fault fault, unsigned status) {
    const auto from = attempt_->candidate.id;
    settle(*attempt_, fault, status);
    earlier_.tried.set(attempt_->candidate.position);
    moved_ = true;
    state_->origins[from]->moved_away[static_cast<std::size_t>(fault)].add();
    if (fault == Fault::none)
        park(std::move(attempt_));
    else
        context_.recycle(std::move(attempt_));
    attempt_ = std::move(hedge_);
}

/// Its connection is closed, and nobody is blamed.
void Exchange::drop_hedge() noexcept {
    if (hedge_) context_.recycle(std::move(hedge_));
}

}  // namespace nearhop::exchange
