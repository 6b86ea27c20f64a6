#include "proxy/exchange/exchange.h"

#include <algorithm>
#include <utility>

/// What an exchange does while it waits for a response head. How long it waits, and when it asks whom, is for Patience
/// to say.
namespace nearhop::exchange {

using Awaits = Patience::Awaits;
using loop::TimePoint;

/// What attempt_ cannot go on without.
Awaits Exchange::awaited() const {
    if (attempt_->dial) return Awaits::dial;
    if (is_asked()) return Awaits::head;
    return attempt_->waits_for_client() ? Awaits::client : Awaits::origin;
}

/// Nothing came for attempt_ in this turn: gives it up, or sets the timer to when to look again.
Patience::Step Exchange::keep_waiting(Wait& wait, TimePoint now) {
    const Awaits awaits = awaited();
    const auto since = awaits == Awaits::head ? attempt_->channel->sent_at : now;
    if (wait.patience.turn_to(awaits, since)) begin_wait(wait, since);
    if (awaits == Awaits::client) {
        waited_.stop(now);
        if (body_is_too_slow(now)) return {now, Fault::client_body_timeout};
        timer_.expires_at(attempt_->upload.pace.due(config_->limits.body_timeout));
        return {};
    }
    waited_.run(now);
    attempt_->upload.pace.rest();
    Patience::Step step = judge_wait(wait, now);
    if (step.fault != Fault::none) return step;
    if (attempt_->dial) step.until = std::min(step.until, attempt_->dial->due());
    if (course_.may_hedge() && now >= wait.hedge_at) begin_hedge();
    if (course_.may_hedge()) step.until = std::min(step.until, wait.hedge_at);
    if (hedge_ && hedge_->dial) step.until = std::min(step.until, hedge_->dial->due());
    timer_.expires_at(step.until);
    return step;
}

/// Another wait of the same attempt: for a connection, for the head, or for neither.
void Exchange::begin_wait(Wait& wait, TimePoint since) {
    wait.silence.leave();
    const Awaits awaits = wait.patience.awaits();
    if (awaits != Awaits::dial && awaits != Awaits::head) return;
    wait.hedge_at = hedge_due(wait.asked_at);
    auto& times = times_of(*attempt_);
    Patience::Wait begins{.since = since, .usual = times.heads.p99()};
    const auto& passive = config_->origins[attempt_->candidate.id].passive;
    // Not every origin knows Expect: a request that keeps its body back for a 100 says nothing of its origin.
    const bool keeps_back = awaits == Awaits::head && !attempt_->upload.complete();
    if (passive.enabled && passive.stall != passive.stall.zero() && !keeps_back) {
        wait.silence.join(times.silence, wake_, since);
        // One of the first few need not look, a later one does.
        if (times.silence.may_be_found() && times.heads.known())
            begins.silence = times.silence.patience(passive.stall, times.heads);
    }
    wait.patience.begin(begins);
}

/// The end of a dial, or the beginning of the request.
void Exchange::end_connecting(Wait& wait, TimePoint now) {
    times_.connecting += waited_.lap(now);
    wait.silence.leave();
    wait.patience.turn_to(Awaits::nothing, now);
}

/// Finds out what Patience needs to know, and does what it says to do while waiting.
Patience::Step Exchange::judge_wait(Wait& wait, TimePoint now) {
    Patience::Facts facts{.deadline = now + time_left(),
                          .head_timeout = limits_->head_timeout,
                          .connect_timeout = config_->failover.connect_timeout};
    const auto asks = wait.patience.questions(now, facts.head_timeout);
    if (asks.silence) look_for_silence(*attempt_, now);
    facts.in_vain = wait.silence.in_vain();
    if (!asks.trouble && !facts.in_vain) return wait.patience.step(now, facts);

    Attempt& attempt = *attempt_;
    const auto id = attempt.candidate.id;
    auto& load = *bound_->loads[id];
    facts.hedged = hedge_ != nullptr;
    facts.may_leave = may_leave();
    facts.only_waits = !facts.may_leave && config_->failover.enabled && wait.patience.awaits() == Awaits::head &&
                       !attempt.channel->answered_anything() && course_.has_other();
    if (attempt.channel) {
        const auto& address = attempt.channel->address();
        facts.others_lost = load.lost.since(address, attempt.channel->sent_at);
        facts.doubted = asks.others && bound_->pools[id]->doubted_since(address, attempt.channel->sent_at);
        facts.probe_passed = load.probe_passed_since(attempt.channel->sent_at);
        if (asks.delivery) facts.delivery = attempt.channel->delivery();
    }
    const auto step = wait.patience.step(now, facts);
    if (step.path_lost) lose_path(attempt);
    if (step.ask_path) attempt.channel->ask_path();
    if (step.want_probe && load.first_to_want_probe(attempt.channel->sent_at, now)) context_.want_probe(*bound_, id);
    return step;
}

/// Whether all who wait for the origin of `attempt` do so in vain.
void Exchange::look_for_silence(const Attempt& attempt, TimePoint now) {
    const auto id = attempt.candidate.id;
    auto& times = times_of(attempt);
    if (times.silence.found(now, config_->origins[id].passive.stall, times.heads)) context_.stalled(*bound_, id);
}

/// Other requests must not meet the same path, and the verdict machine gets a report as of a failed dial.
void Exchange::lose_path(Attempt& attempt) {
    const auto id = attempt.candidate.id;
    const auto& address = attempt.channel->address();
    bound_->pools[id]->lose(address);
    bound_->loads[id]->lost.note(address, attempt.channel->sent_at);
    context_.report({bound_->routing, id, health::Passive::connect_failed, health::Reason::connect_timeout, address});
    const auto& addresses = current().addresses->by_origin;
    if (id < addresses.size() && addresses[id].size() == 1) context_.skip(*bound_, id);
}

}  // namespace nearhop::exchange
