#include "proxy/exchange/exchange.h"

#include <algorithm>
#include <utility>

/// The part of an exchange that ends with a response head: candidates, and what may be tried again.
namespace nearhop::exchange {

using steering::Considered;
using steering::Reason;

namespace {

constexpr std::size_t most_discarded = 16 * 1024;

bool gateway_status(unsigned status) noexcept { return status == 502 || status == 503 || status == 504; }

}  // namespace

/// What decides beside the request itself: what happened to it so far, and who alone may have it.
steering::Earlier Exchange::earlier() const {
    steering::Earlier earlier = earlier_;
    const std::uint64_t origin = pinned_to();
    if (origin == 0) return earlier;
    earlier.pinned.emplace();
    for (std::size_t i = 0; i < site_->origins.size(); ++i)
        if (bound_->pin_ids[site_->origins[i]] == origin) earlier.pinned->set(static_cast<steering::Position>(i));
    return earlier;
}

/// The origin that the request's Idempotency-Key is known at, as Pins know it; 0: none.
std::uint64_t Exchange::pinned_to() const {
    if (acted_) return bound_->pin_ids[*acted_];  // whatever has become of the pin since
    return pin_key_ == 0 ? 0 : context_.pins.find(pin_key_, context_.loop.now().time_since_epoch());
}

void Exchange::decide_by(const steering::Earlier& earlier) {
    steering::decide({decision_.site, request_.method, path(), steering::line_of(located_.client)}, located_.place,
                     *bound_->routing->table, *current().health, context_.local(*bound_, decision_.site, may_try()),
                     earlier, decision_);
}

/// Verdicts are read again, since they may have changed meanwhile.
const Considered* Exchange::next_candidate() {
    const auto so_far = earlier();
    if (attempts_ != 0 || so_far.full.any() || so_far.pinned) decide_by(so_far);
    if (attempts_ == 0) first_ = decision_.first;
    return decision_.candidate_count == 0 ? nullptr : decision_.candidates.data();
}

/// Whether an origin but the present one would do, were it not for a key that is known elsewhere.
bool Exchange::another_candidate() const {
    const auto would_do = [&](const Considered& origin) {
        return origin.id != attempt_->candidate.id && !earlier_.tried[origin.position];
    };
    const auto chosen = decision_.chosen();
    const auto all = decision_.all();
    return std::any_of(chosen.begin(), chosen.end(), would_do) ||
           std::any_of(all.begin(), all.end(), [&](const Considered& origin) {
               return origin.reason == Reason::key_pinned && would_do(origin);
           });
}

/// By the latest order, which may have come since the origin was chosen.
bool Exchange::is_ordered_out(geo::OriginId id) {
    const auto& origins = current().health->origins;
    return id < origins.size() && origins[id].state.ordered_out();
}

/// Before the first byte is sent. False: another request with this key was faster, and went elsewhere.
bool Exchange::claim_pin(geo::OriginId id) {
    const auto mine = bound_->pin_ids[id];
    const auto claim = context_.pins.claim(pin_key_, mine, context_.loop.now().time_since_epoch(),
                                           config_->failover.idempotency_expiry);
    if (claim.forgot) context_.counters.keys_forgotten.add();
    pin_made_ = claim.made;
    return claim.origin == mine || acted_ == id;  // forgotten, and claimed elsewhere: this one can only stay
}

/// A share of the origin's capacity in slot_, if it has one and there is room.
bool Exchange::take_slot(const Considered& candidate) {
    if (!state_->limited[candidate.position] || slot_) return true;
    slot_ = bound_->loads[candidate.id]->enter(context_.loop);
    return static_cast<bool>(slot_);
}

/// Waits for a share of the origin's capacity.
loop::Task<Fault> Exchange::queue_for(geo::OriginId id) {
    shared::OriginLoad& load = *bound_->loads[id];
    const auto began = context_.loop.now();
    const auto until = began + std::min<loop::Clock::duration>(config_->failover.queue_time, time_left());
    shared::OriginLoad::Waiter place{load, wake_};
    retry_after_ = std::chrono::seconds{1};
    if (place.refused()) {
        load.refused_at_once.fetch_add(1, std::memory_order_relaxed);
        co_return Fault::origin_full;
    }
    load.waited.fetch_add(1, std::memory_order_relaxed);
    Fault fault = Fault::none;
    while (!(slot_ = place.take()) && fault == Fault::none) {
        fault = interruption();
        if (fault != Fault::none) break;
        if (context_.loop.now() >= until) {
            load.refused_later.fetch_add(1, std::memory_order_relaxed);
            fault = Fault::origin_full;
        } else {
            timer_.expires_at(until);
            co_await wake_.wait();
        }
    }
    waited_ += context_.loop.now() - began;
    co_return fault;
}

/// Of the first origin that would have been chosen, had it had room.
void Exchange::count_spill(geo::OriginId chosen) {
    for (const auto& origin : decision_.all()) {
        if (origin.id == chosen) return;
        if (origin.reason != Reason::busy && origin.reason != Reason::full) continue;
        state_->origins[origin.id]->spilled.add();
        return;
    }
}

bool Exchange::take_token() {
    const bool taken = state_->budget->take();
    state_->counters->retry_tokens.set(static_cast<std::uint64_t>(state_->budget->tokens()));
    return taken;
}

/// Offers the request to the candidates in order until one answers; `none` leaves the answer in attempt_.
loop::Task<Fault> Exchange::offer() {
    const auto& failover = config_->failover;
    if (limits_->body_limit != 0 && request_.framing.length > limits_->body_limit)
        co_return Fault::client_body_too_large;
    if (request_.extended_connect && forwarding_.upgrade.empty()) co_return Fault::client_upgrade_refused;
    times_.first_attempt = context_.loop.now();
    bool fresh = false;
    const Considered* candidate = next_candidate();
    while (candidate) {
        const Considered chosen = *candidate;
        if (!take_slot(chosen)) {
            // Others may have room; where none has, the first of them is waited for.
            if (!earlier_.full[chosen.position]) {
                earlier_.full.set(chosen.position);
                candidate = next_candidate();
                continue;
            }
            if (const Fault fault = co_await queue_for(chosen.id); fault != Fault::none) co_return fault;
            if (is_ordered_out(chosen.id)) {  // meanwhile
                slot_.release();
                candidate = next_candidate();
                continue;
            }
        }
        if (attempts_ == 0 && chosen.reason == Reason::spilled) count_spill(chosen.id);
        if (attempt_) context_.recycle(std::move(attempt_));
        attempt_ = context_.fresh_attempt();
        attempt_->candidate = chosen;
        attempt_->slot = std::move(slot_);
        attempt_->counted = account::Counted{state_->origins[chosen.id]->in_flight};
        ++attempts_;
        Fault fault = co_await ask(fresh);
        if (fault == Fault::key_pinned) {  // to another origin, a moment ago
            candidate = next_candidate();
            continue;
        }
        // What the edge lacks it lacks everywhere, except for local ports: they run out towards one address.
        if (is_final(fault) || (fault == Fault::edge_overloaded && !out_of_ports_)) co_return fault;
        const bool sent = was_sent(fault);
        const unsigned status = fault == Fault::none ? attempt_->head().status : 0;
        settle(*attempt_, fault, status);
        if (fault == Fault::none && !is_retried(status)) co_return fault;
        const geo::OriginId from = attempt_->candidate.id;
        const auto left = attempt_->candidate.position;

        // Whether it may go on elsewhere. The answer at hand is forwarded as it is when nothing better can be had.
        const auto stay = [&](account::Stay why) {
            state_->counters->not_moved[static_cast<std::size_t>(why)].add();
            return fault;
        };
        const Move move = move_after(fault, status);
        const bool refused = status == 421 || (attempt_->channel && !sent);
        if (refused && status == 0) {  // as a dial that failed
            sent_to_.reset(left);
            if (is_to_blame(*attempt_, fault)) context_.skip(*bound_, from);
        }
        if (pin_key_ != 0 && refused && pin_made_ && !acted_)
            context_.pins.release(pin_key_, bound_->pin_ids[from]);
        else if (pin_key_ != 0 && sent && !acted_)
            acted_ = from;  // or, with a 421, did when the same key came before
        if (move == Move::no)
            co_return stay(status == 421 || info(fault).nothing_sent || method_ != steering::MethodClass::unsafe
                               ? account::Stay::body_not_replayable
                           : pin_key_ != 0 ? account::Stay::key_pinned
                                           : account::Stay::not_idempotent);
        if (!failover.enabled) co_return stay(account::Stay::failover_disabled);
        if (time_left() <= loop::Clock::duration::zero()) co_return stay(account::Stay::deadline);
        if (move == Move::next_origin) {
            earlier_.tried.set(left);
            if (is_pinned()) {
                stay(account::Stay::key_pinned);
                co_return sent ? fault : Fault::key_pinned;
            }
            const bool enough = sent && sent_to_.count() >= failover.sent_candidates;
            candidate = enough || earlier_.tried.count() >= failover.connect_candidates ? nullptr : next_candidate();
            if (!candidate) co_return stay(account::Stay::candidates_exhausted);
        } else {
            fresh_tried_.set(left);
            again_ = attempt_->candidate;
            candidate = &again_;
            slot_ = std::move(attempt_->slot);
        }
        // A fresh try after a stale connection adds no load that the client did not cause: it is free.
        const bool is_free = !sent || (move == Move::same_origin && fault == Fault::origin_stale);
        if (!is_free && !take_token()) co_return stay(account::Stay::budget_empty);
        fresh = move == Move::same_origin;
        if (fault == Fault::none) {
            park(std::move(attempt_));  // with its share of the origin's capacity: its answer is not over
        } else {
            attempt_->slot.release();
            attempt_->counted.release();
        }
        if (move == Move::same_origin) continue;
        moved_ = true;
        state_->origins[from]->moved_away[static_cast<std::size_t>(fault)].add();
        if (earlier_.tried.count() < 2) continue;
        if (const Fault cause = co_await back_off(); cause != Fault::none) co_return cause;
    }
    co_return is_pinned() ? Fault::key_pinned : Fault::no_origin;
}

/// Whether the origin may have processed a byte of the request. Not if its TLS refused us while the request was under
/// way, which after some of the body has been let go is of no use any more.
bool Exchange::was_sent(Fault fault) const noexcept {
    return attempt_->channel && !(info(fault).nothing_sent && replay_.whole());
}

Move Exchange::move_after(Fault fault, unsigned status) {
    const Move move = may_move({.method = method_,
                                .idempotency_key = pin_key_ != 0,
                                .body_replayable = replay_.whole(),
                                .request_sent = was_sent(fault),
                                .reused_connection = fault == Fault::origin_stale,
                                .same_origin_tried = fresh_tried_[attempt_->candidate.position],
                                .status = status});
    // Asking an origin again that did not answer in time only takes longer.
    const bool late = fault == Fault::origin_head_timeout || fault == Fault::origin_lost;
    if (late && move == Move::same_origin) return Move::no;
    if (move != Move::same_origin || !is_ordered_out(attempt_->candidate.id)) return move;
    return pin_key_ != 0 ? Move::no : Move::next_origin;
}

/// The first move is made at once; later ones wait a random moment, so that many exchanges do not knock in step.
loop::Task<Fault> Exchange::back_off() {
    const auto& failover = config_->failover;
    const auto doublings = std::min<std::size_t>(earlier_.tried.count() - 2, 8);
    const auto ceiling = std::min(failover.backoff * (1u << doublings), failover.backoff_max);
    const auto began = context_.loop.now();
    const auto until = began + std::chrono::duration_cast<loop::milliseconds>(ceiling * context_.dice.fraction());
    while (context_.loop.now() < until) {
        if (const Fault cause = interruption(); cause != Fault::none) co_return cause;
        timer_.expires_at(until);
        co_await wake_.wait();
    }
    waited_ += context_.loop.now() - began;
    co_return Fault::none;
}

/// An answer that is forwarded if nobody does better.
void Exchange::park(std::unique_ptr<Attempt> attempt) {
    if (parked_) discard(std::move(parked_));
    parked_ = std::move(attempt);
}

/// A 421 says that the origin does not serve this Host on a connection that was made for its name: it is about our
/// connection, and no client can do anything about that on another one of its own.
Fault Exchange::give_up_421() {
    put_back(*attempt_);
    return Fault::origin_misdirected;
}

/// A response that will not be forwarded.
void Exchange::discard(std::unique_ptr<Attempt> attempt) {
    put_back(*attempt);
    context_.recycle(std::move(attempt));
}

/// Keeps the connection of such a response if what is left of it is here already.
void Exchange::put_back(Attempt& attempt) {
    std::size_t dropped = 0;
    std::string_view bytes;
    while (attempt.channel->body(bytes) == message::Source::Body::data && dropped <= most_discarded) {
        dropped += bytes.size();
        attempt.channel->consume_body(bytes.size());
    }
    attempt.channel->finish(true);
}

/// Whether the failure of this attempt says something of its origin as it is now: under the latest configuration, for
/// an answer may break off long after that of its own time has gone.
bool Exchange::is_news(const Attempt& attempt) {
    const auto& latest = *context_.snapshot();
    const auto& identity = bound_->routing->origins[attempt.candidate.id].identity;
    const auto& origins = latest.routing->origins;
    std::size_t id = attempt.candidate.id;
    if (latest.routing != bound_->routing)
        id = static_cast<std::size_t>(
            std::find_if(origins.begin(), origins.end(), [&](const auto& each) { return each.identity == identity; }) -
            origins.begin());
    const auto& health = latest.health->origins;
    return id >= health.size() || health[id].state.is_news(attempt.began_at);
}

/// Counts an attempt that has ended, and what it says of its origin's health. A stale connection says nothing; nor does
/// a client that left, or a deadline that left the origin no time.
void Exchange::settle(Attempt& attempt, Fault fault, unsigned status) {
    const auto id = attempt.candidate.id;
    auto& counters = *state_->origins[id];
    counters.attempts[static_cast<std::size_t>(fault)].add();
    if (fault == Fault::none)
        counters.head.observe_microseconds(
            static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(times_.head).count()));
    auto& pool = bound_->pools[id]->counters();
    if (fault == Fault::none && !gateway_status(status)) return;  // good when its body is whole: note_body()
    context_.end_trial(*bound_, id);
    const auto reason = fault == Fault::none ? health::Reason::status : info(fault).reason;
    if (reason == health::Reason::none || cut_short_ || !is_news(attempt)) return;
    if (fault != Fault::none && !is_to_blame(attempt, fault)) return;
    // Not every origin knows Expect: else any client could have one ejected by holding its body back.
    if (fault == Fault::origin_head_timeout && awaits_continue()) return;
    pool.failed.add();
    const bool answered = fault == Fault::none || fault == Fault::origin_head_timeout;
    context_.report({bound_->routing,
                     id,
                     answered ? health::Passive::answered_failed : health::Passive::connect_failed,
                     reason,
                     {}});
}

/// A head alone is no success: an origin that cuts each of its answers short would otherwise pass for a good one.
void Exchange::note_body(Fault fault) {
    const auto id = attempt_->candidate.id;
    if (gateway_status(attempt_->head().status)) return;  // has counted as a failure already
    auto& pool = bound_->pools[id]->counters();
    context_.end_trial(*bound_, id);
    if (info(fault).side != account::Side::origin) {
        context_.report_ok(*bound_, id, attempt_->trial);
        return pool.ok.add();
    }
    if (!is_news(*attempt_)) return;
    pool.failed.add();
    context_.report({bound_->routing, id, health::Passive::answered_failed, info(fault).reason, {}});
}

}  // namespace nearhop::exchange
