#include "proxy/exchange/course.h"

#include <algorithm>

namespace nearhop::exchange {

using account::Stay;
using steering::Considered;
using steering::MethodClass;
using steering::OriginSet;
using steering::Reason;
using Step = Course::Step;

namespace {

/// Worth a request that may turn out to be for nothing.
bool is_sound(Reason reason) noexcept {
    return reason != Reason::local_skip && reason != Reason::stalled && reason != Reason::on_trial &&
           reason != Reason::full && reason != Reason::last_eligible && reason != Reason::all_down_open;
}

/// A p95 of less is noise of the network: a hedge costs the origins a request.
constexpr std::chrono::milliseconds least_hedge_wait{10};

Step stop(Fault fault) noexcept { return {.fault = fault}; }
Step stay(Fault fault, Stay why) noexcept { return {.fault = fault, .stay = why}; }

}  // namespace

Step Course::begin(const Facts& facts, const conf::Failover& failover, const steering::Decision& decision) {
    facts_ = facts;
    failover_ = &failover;
    decision_ = &decision;
    return next();
}

/// Others may have room; where none has, the first of them is waited for.
Step Course::no_room() {
    if (earlier_.full[at_.position]) return {.kind = Step::Kind::queue, .candidate = at_};
    earlier_.full.set(at_.position);
    return next();
}

/// An order may have come while the request waited.
Step Course::admitted() { return edge_.is_ordered_out(at_.id) ? next() : ask(at_); }

/// A key is tied with the first byte: an origin that refuses connections costs nothing.
bool Course::sends(const Considered& candidate) {
    if (facts_.has_key) {
        const auto claim = edge_.claim(candidate.id);
        pin_made_ = claim.made;
        // Its own tie may be forgotten, and the key claimed elsewhere: what may have been acted on can only stay.
        if (!claim.ours && !(acted_ && acted_->id == candidate.id)) return false;
    }
    sent_to_.set(candidate.position);
    return true;
}

Step Course::ended(const AttemptEnd& end) {
    if (end.is_final() || end.is_answer()) return stop(end.fault);
    // As a dial that failed; unless an attempt before it, on a kept connection, reached the same origin.
    if (end.status == 0 && end.was_refused() && !again_at_[at_.position]) sent_to_.reset(at_.position);
    if (facts_.has_key) note_key(end);
    const Move move = move_after(end);
    if (move == Move::no) return stay(end.fault, why_bound(end));
    if (!failover_->enabled) return stay(end.fault, Stay::failover_disabled);
    if (end.out_of_time) return stay(end.fault, Stay::deadline);
    return move == Move::same_origin ? again(end) : onward(end);
}

/// What may be done by what provably happened.
Course::Move Course::may_move(const AttemptEnd& end) const noexcept {
    const bool repeatable = facts_.method != MethodClass::unsafe;
    if (!end.was_sent()) return Move::next_origin;
    if (!end.body_held) return Move::no;
    if (end.status == 421) return Move::next_origin;
    if (end.status != 0) return is_gateway(end.status) && repeatable ? Move::next_origin : Move::no;
    const bool again = !again_at_[at_.position];
    if (repeatable) return end.fault == Fault::origin_stale && again ? Move::same_origin : Move::next_origin;
    // The origin that may have acted is the only one that can recognise the key.
    return facts_.has_key && again ? Move::same_origin : Move::no;
}

Course::Move Course::move_after(const AttemptEnd& end) const {
    const Move move = may_move(end);
    if (move != Move::same_origin) return move;
    // Asking an origin again that did not answer in time only takes longer.
    if (end.fault == Fault::origin_head_timeout || end.fault == Fault::origin_lost) return Move::no;
    if (!edge_.is_ordered_out(at_.id)) return move;
    return facts_.has_key ? Move::no : Move::next_origin;
}

Stay Course::why_bound(const AttemptEnd& end) const noexcept {
    const bool refused = end.status == 421 || info(end.fault).nothing_sent;
    if (refused || facts_.method != MethodClass::unsafe) return Stay::body_not_replayable;
    return facts_.has_key ? Stay::key_pinned : Stay::not_idempotent;
}

/// An origin that refused the request unties a key that nobody had before; one that may have acted on it, now or when
/// the same key came before, is the only one from now on, whatever becomes of the tie.
void Course::note_key(const AttemptEnd& end) {
    if (acted_) return;
    if (end.was_refused() && pin_made_)
        edge_.release(at_.id);
    else if (end.was_sent())
        acted_ = at_;
}

/// A fresh try after a stale connection adds no load that the client did not cause: it is free.
Step Course::again(const AttemptEnd& end) {
    again_at_.set(at_.position);
    if (end.fault != Fault::origin_stale && !edge_.take_token()) return stay(end.fault, Stay::budget_empty);
    Step step = ask(at_);
    step.again = true;
    return step;
}

Step Course::onward(const AttemptEnd& end) {
    earlier_.tried.set(at_.position);
    const bool sent = end.was_sent();
    if (pinned()) return stay(sent ? end.fault : Fault::key_pinned, Stay::key_pinned);
    const bool enough = had_by_enough() || earlier_.tried.count() >= failover_->connect_candidates;
    const auto candidate = enough ? std::nullopt : next_candidate();
    if (!candidate) return stay(end.fault, Stay::candidates_exhausted);
    if (sent && !edge_.take_token()) return stay(end.fault, Stay::budget_empty);
    moved_ = true;
    Step step = ask(*candidate);
    step.back_off = back_off();
    return step;
}

/// The first move is made at once; later ones wait a random moment, so that many exchanges do not knock in step.
std::chrono::milliseconds Course::back_off() const {
    const auto left = earlier_.tried.count();
    if (left < 2) return std::chrono::milliseconds{0};
    const auto doublings = std::min<std::size_t>(left - 2, 8);
    return std::min<std::chrono::milliseconds>(failover_->backoff * (1u << doublings), failover_->backoff_max);
}

Step Course::ask(const Considered& candidate) noexcept {
    at_ = candidate;
    return {.kind = Step::Kind::ask, .candidate = candidate};
}

Step Course::next() {
    if (const auto candidate = next_candidate()) return ask(*candidate);
    return stop(pinned() ? Fault::key_pinned : Fault::no_origin);
}

/// Verdicts are read again, since they may have changed; but not for the first attempt, which has just been decided.
std::optional<Considered> Course::next_candidate() {
    earlier_.pinned = pinned();
    if (attempts_ != 0 || earlier_.full.any() || earlier_.pinned) decision_ = &edge_.decide(earlier_);
    if (decision_->candidate_count == 0) return std::nullopt;
    return decision_->candidates.front();
}

/// The only origins that may have the request; none: any may.
std::optional<OriginSet> Course::pinned() const {
    if (!facts_.has_key) return std::nullopt;
    return acted_ ? OriginSet::of(acted_->position) : edge_.pinned();
}

bool Course::has_other() const noexcept {
    const auto would_do = [&](const Considered& origin) {
        return origin.id != at_.id && !earlier_.tried[origin.position];
    };
    const auto chosen = decision_->chosen();
    const auto all = decision_->all();
    return std::any_of(chosen.begin(), chosen.end(), would_do) ||
           std::any_of(all.begin(), all.end(), [&](const Considered& origin) {
               return origin.reason == Reason::key_pinned && would_do(origin);
           });
}

bool Course::may_leave(bool connected, bool body_held) const {
    if (!failover_->enabled || had_by_enough() || !has_other()) return false;
    if (!connected) return earlier_.tried.count() + 1 < failover_->connect_candidates && !pinned();
    return facts_.method != MethodClass::unsafe && body_held && edge_.has_token();
}

/// A fixed time counts from the beginning. The p95 is that of answers on a connection: while there is none yet, three
/// times as much, since that takes up to three round trips.
loop::TimePoint Course::hedge_due(const HeadTimes& heads, loop::TimePoint asked_at,
                                  std::optional<loop::TimePoint> sent_at) const noexcept {
    if (!may_hedge()) return loop::TimePoint::max();
    if (facts_.hedge.kind == conf::Hedge::Kind::after) return asked_at + facts_.hedge.after;
    if (heads.p95() == loop::Clock::duration::zero()) return loop::TimePoint::max();  // too few answers so far
    const auto wait = std::max<loop::Clock::duration>(heads.p95(), least_hedge_wait);
    return sent_at ? *sent_at + wait : asked_at + 3 * wait;
}

std::optional<Considered> Course::hedge() {
    hedged_ = true;
    if (had_by_enough()) return std::nullopt;
    earlier_.tried.set(at_.position);
    const auto candidate = next_candidate();
    earlier_.tried.reset(at_.position);
    return candidate && is_sound(candidate->reason) && edge_.has_token() ? candidate : std::nullopt;
}

void Course::hedge_begins(const Considered& candidate) {
    hedge_ = candidate;
    edge_.take_token();
    ++attempts_;
}

void Course::hedge_takes_over() noexcept {
    earlier_.tried.set(at_.position);
    moved_ = true;
    at_ = hedge_;
}

}  // namespace nearhop::exchange
