#include "proxy/exchange/exchange.h"

#include <algorithm>
#include <utility>

/// The second attempt beside the first: asked when the first is late, and the first answer wins. Both are steps of the
/// one loop in ask.cpp; nothing is awaited here.
namespace nearhop::exchange {

loop::TimePoint Exchange::hedge_due(loop::TimePoint asked_at) const {
    const auto sent_at = attempt_->dial ? std::nullopt : std::optional{attempt_->sent_at()};
    return course_.hedge_due(times_of(*attempt_).heads, asked_at, sent_at);
}

/// Asks the next candidate, if there is one worth asking, with room, and a token to pay for it.
void Exchange::begin_hedge() {
    const auto candidate = course_.hedge();
    if (!candidate || !take_slot(*candidate)) return;
    course_.hedge_begins(*candidate);
    state_->origins[candidate->id]->hedges.add();
    hedge_ = next_attempt(*candidate);
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
        // The first attempt took at least this time: without the late ones the p95 would shrink with each hedge.
        if (site_->hedge.kind == conf::Hedge::Kind::p95 && attempt_->begun) times.heads.add(now - attempt_->sent_at());
        if (wait.silence.waits()) {
            times.silence.gave_up(wait.silence.since());
            wait.silence.leave();
            look_for_silence(*attempt_, now);
        }
        course_.hedge_won();
        std::swap(attempt_, hedge_);
        drop_hedge();
        return true;
    }
    // It failed by itself; the first goes on alone.
    course_.hedge_failed();
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
    course_.hedge_takes_over();
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
