#include "proxy/exchange/exchange.h"

#include <algorithm>
#include <utility>

/// The part of an exchange that ends with a response head: candidates, and what may be tried again.
namespace nearhop::exchange {

using steering::Considered;
using steering::Reason;

namespace {

constexpr std::size_t most_discarded = 16 * 1024;

}  // namespace

// What the course asks of the edge.

/// Verdicts are read again, since they may have changed meanwhile.
const steering::Decision& Exchange::decide(const steering::Earlier& earlier) {
    steering::decide({decision_.site, request_.method, path(), steering::line_of(located_.client)}, located_.place,
                     *bound_->routing->table, *current().health, context_.local(*bound_, decision_.site, may_try()),
                     earlier, decision_);
    if (course_.attempts() == 0) first_ = decision_.first;
    return decision_;
}

bool Exchange::is_ordered_out(geo::OriginId origin) {
    const auto& origins = current().health->origins;
    return origin < origins.size() && origins[origin].state.ordered_out();
}

std::optional<steering::OriginSet> Exchange::pinned() {
    const auto known_at = context_.pins.find(pin_key_, context_.loop.now().time_since_epoch());
    if (known_at == 0) return std::nullopt;
    steering::OriginSet pinned;
    for (std::size_t i = 0; i < site_->origins.size(); ++i)
        pinned.set(static_cast<steering::Position>(i), bound_->pin_ids[site_->origins[i]] == known_at);
    return pinned;
}

Course::Edge::Claim Exchange::claim(geo::OriginId origin) {
    const auto mine = bound_->pin_ids[origin];
    const auto claim = context_.pins.claim(pin_key_, mine, context_.loop.now().time_since_epoch(),
                                           config_->failover.idempotency_expiry);
    if (claim.forgot) context_.counters.keys_forgotten.add();
    return {.ours = claim.origin == mine, .made = claim.made};
}

void Exchange::release(geo::OriginId origin) { context_.pins.release(pin_key_, bound_->pin_ids[origin]); }

bool Exchange::has_token() { return state_->budget->tokens() >= 1; }

bool Exchange::take_token() {
    const bool taken = state_->budget->take();
    state_->counters->retry_tokens.set(static_cast<std::uint64_t>(state_->budget->tokens()));
    return taken;
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

/// Offers the request to the candidates in order until one answers; `none` leaves the answer in attempt_.
loop::Task<Fault> Exchange::offer() {
    if (limits_->body_limit != 0 && request_.framing.length > limits_->body_limit)
        co_return Fault::client_body_too_large;
    if (request_.extended_connect && forwarding_.upgrade.empty()) co_return Fault::client_upgrade_refused;
    times_.first_attempt = context_.loop.now();
    auto step = course_.begin(course_facts(), config_->failover, decision_);
    for (;;) {
        const geo::OriginId id = step.candidate.id;
        if (step.kind == Course::Step::Kind::stop) co_return stay(step);
        if (step.kind == Course::Step::Kind::queue) {
            if (const Fault fault = co_await queue_for(id); fault != Fault::none) co_return fault;
            step = course_.admitted();
            if (step.kind != Course::Step::Kind::ask || step.candidate.id != id) slot_.release();
            continue;
        }
        if (step.back_off > loop::milliseconds::zero())
            if (const Fault cause = co_await back_off(step.back_off); cause != Fault::none) co_return cause;
        if (!take_slot(step.candidate)) {
            step = course_.no_room();
            continue;
        }
        begin_attempt(step.candidate);
        const Fault fault = co_await ask(step.again);
        if (fault == Fault::key_pinned) {  // to another origin, a moment ago
            step = course_.outrun();
            continue;
        }
        const AttemptEnd end = attempt_end(fault);
        if (!end.is_final()) learn_from(end);
        step = course_.ended(end);
        if (step.kind == Course::Step::Kind::ask) leave(step, fault);
    }
}

/// What the request is to its course.
Course::Facts Exchange::course_facts() const noexcept {
    const bool is_read = request_.method == "GET" || request_.method == "HEAD";
    return {
        .method = method_,
        .has_key = pin_key_ != 0,
        .hedge = is_read && !request_.framing.has_body() && forwarding_.upgrade.empty() ? site_->hedge : conf::Hedge{}};
}

void Exchange::begin_attempt(const Considered& candidate) {
    if (course_.attempts() == 0 && candidate.reason == Reason::spilled) count_spill(candidate.id);
    if (attempt_) context_.recycle(std::move(attempt_));
    attempt_ = next_attempt(candidate);
    course_.asks();
}

/// With the share of its origin's capacity that was taken for it.
std::unique_ptr<Attempt> Exchange::next_attempt(const Considered& candidate) {
    auto attempt = context_.fresh_attempt();
    attempt->candidate = candidate;
    attempt->slot = std::move(slot_);
    attempt->counted = account::Counted{state_->origins[candidate.id]->in_flight};
    return attempt;
}

AttemptEnd Exchange::attempt_end(Fault fault) const noexcept {
    return {.fault = fault,
            .status = fault == Fault::none ? attempt_->head().status : 0,
            .connected = attempt_->channel != nullptr,
            .body_held = replay_.whole(),
            .out_of_time = time_left() <= loop::Clock::duration::zero(),
            .out_of_ports = out_of_ports_};
}

/// What an attempt that ended says of its origin, before the next one is chosen.
void Exchange::learn_from(const AttemptEnd& end) {
    settle(*attempt_, end.fault, end.status);
    if (end.status == 0 && end.was_refused() && is_to_blame(*attempt_, end.fault))  // as a dial that failed
        context_.skip(*bound_, attempt_->candidate.id);
}

/// The end of the course: the answer at hand is forwarded as it is where nothing better can be had.
Fault Exchange::stay(const Course::Step& step) {
    if (step.stay) state_->counters->not_moved[static_cast<std::size_t>(*step.stay)].add();
    return step.fault;
}

/// Another attempt comes behind attempt_, which ended so.
void Exchange::leave(const Course::Step& step, Fault fault) {
    const geo::OriginId from = attempt_->candidate.id;
    if (step.again) {
        slot_ = std::move(attempt_->slot);
    } else {
        state_->origins[from]->moved_away[static_cast<std::size_t>(fault)].add();
    }
    if (fault == Fault::none) {
        park(std::move(attempt_));  // with its share of the origin's capacity: its answer is not over
    } else {
        attempt_->slot.release();
        attempt_->counted.release();
    }
}

/// A random part of the time, so that many exchanges do not knock in step.
loop::Task<Fault> Exchange::back_off(loop::milliseconds longest) {
    const auto began = context_.loop.now();
    const auto until = began + std::chrono::duration_cast<loop::milliseconds>(longest * context_.dice.fraction());
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
    if (fault == Fault::none && !is_gateway(status)) return;  // good when its body is whole: note_body()
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
    if (is_gateway(attempt_->head().status)) return;  // has counted as a failure already
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
