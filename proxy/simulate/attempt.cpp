#include "proxy/origin/connection.h"
#include "proxy/simulate/exchanges.h"

#include <algorithm>
#include <utility>

/// One attempt of an exchange, or two at once: the connection, the wait for its answer, and what may cut that short.
namespace nearhop::simulate {

using Code = account::Fault;
using exchange::Course;
using exchange::is_gateway;
using exchange::is_retried;
using steering::Considered;

std::unique_ptr<Exchanges::Attempt> Exchanges::next_attempt(Exchange& exchange, const Considered& candidate) {
    auto attempt = std::make_unique<Attempt>();
    attempt->candidate = candidate;
    attempt->slot = std::move(exchange.slot);
    attempt->asked_at = events_.now();
    const auto second = static_cast<std::size_t>(std::chrono::floor<std::chrono::seconds>(events_.time()).count());
    auto& attempts = outcome_.attempts[candidate.id];
    if (second < attempts.size()) ++attempts[second];
    return attempt;
}

void Exchanges::connect(Exchange& exchange, Attempt& attempt, bool fresh) {
    Worker& worker = worker_of(exchange);
    const geo::OriginId origin = attempt.candidate.id;
    auto& pool = worker.pools[origin];
    std::erase_if(pool, [&](const Kept& kept) { return kept.until <= events_.now(); });
    if (!fresh && !pool.empty()) {
        attempt.address = pool.back().address;
        attempt.reused = true;
        pool.pop_back();
        return send(exchange, attempt);
    }

    const auto dialled =
        network_.dial(origin, verdicts_.addresses_down(origin), worker.turns[origin]++, scenario_.config.failover);
    attempt.stage = ++stages_;
    wait(exchange, attempt);
    plan(exchange, attempt.stage, events_.now() + dialled.took, [this, stage = attempt.stage, dialled](Exchange& now) {
        connected(now, now.first->stage == stage ? *now.first : *now.hedge, dialled);
    });
}

void Exchanges::connected(Exchange& exchange, Attempt& attempt, const Network::Dialled& dialled) {
    const geo::OriginId id = attempt.candidate.id;
    for (const auto& failure : dialled.failures) {
        verdicts_.on_dial(id, failure.address, health::Passive::connect_failed, info(failure.fault).reason);
        troubled_addresses_.insert({id, failure.address});
    }
    if (dialled.fault != Code::none) {
        skip(worker_of(exchange), id, false);
        return end(exchange, attempt, dialled.fault, 0);
    }
    attempt.address = dialled.address;
    if (troubled_addresses_.erase({id, dialled.address}) != 0)
        verdicts_.on_dial(id, dialled.address, health::Passive::ok, health::Reason::passed);
    send(exchange, attempt);
}

Code Exchanges::closed(const Attempt& attempt) const {
    const bool young = events_.now() < attempt.sent_at + origin::stale_within;
    return attempt.reused && young ? Code::origin_stale : Code::origin_reset;
}

void Exchanges::send(Exchange& exchange, Attempt& attempt) {
    if (!exchange.course.sends(attempt.candidate)) return follow(exchange, exchange.course.outrun());
    attempt.stage = ++stages_;
    attempt.sent = true;
    attempt.sent_at = events_.now();
    ++exchange.request.sent;
    count_execution(exchange, attempt.candidate.id);
    wait(exchange, attempt);
    const auto answer = network_.answer(attempt.candidate.id, attempt.address, Fault::Hits::requests);
    attempt.silent = answer.kind == Network::Answer::Kind::silence;
    if (attempt.silent) return;
    plan(exchange, attempt.stage, attempt.sent_at + answer.after, [this, stage = attempt.stage, answer](Exchange& now) {
        Attempt& asked = now.first->stage == stage ? *now.first : *now.hedge;
        if (asked.silent) return;  // it fell silent on the way
        if (answer.kind == Network::Answer::Kind::reset) return end(now, asked, closed(asked), 0);
        auto& times = worker_of(now).times[asked.candidate.id];
        times.silence.answered(events_.now());
        times.heads.add(events_.now() - asked.sent_at);
        end(now, asked, Code::none, answer.status);
    });
}

/// An origin recognises a key that it has seen; another one does not, and none knows a request without.
void Exchanges::count_execution(Exchange& exchange, geo::OriginId origin) {
    const Errand& errand = exchange.errand;
    if (errand.method != Method::post) return;
    const auto [before, is_first] = executed_at_.try_emplace(errand.number, origin);
    if (!is_first && !(errand.has_key && before->second == origin)) exchange.request.twice = true;
}

/// What may happen to the attempt while it is the one that is waited for; a hedge waits beside it, and only answers.
void Exchanges::wait(Exchange& exchange, Attempt& attempt) {
    if (&attempt == exchange.hedge.get()) return;
    watch(exchange, attempt);
    plan(exchange, attempt.stage, due(exchange), [this](Exchange& now) { out_of_time(now); });
    if (attempt.sent)
        plan(exchange, attempt.stage, attempt.sent_at + limits(exchange).head_timeout,
             [this](Exchange& now) { late(now); });
    if (!exchange.course.may_hedge()) return;
    const auto& heads = worker_of(exchange).times[attempt.candidate.id].heads;
    const auto sent_at = attempt.sent ? std::optional{attempt.sent_at} : std::nullopt;
    const auto hedge_at = exchange.course.hedge_due(heads, attempt.asked_at, sent_at);
    if (hedge_at != TimePoint::max())
        plan(exchange, attempt.stage, hedge_at, [this](Exchange& now) { begin_hedge(now); });
}

/// The deadline ends both attempts.
void Exchanges::out_of_time(Exchange& exchange) {
    drop(std::move(exchange.hedge));
    end(exchange, *exchange.first, exchange.first->sent ? Code::origin_head_timeout : Code::origin_connect_timeout, 0);
}

/// Longer than an answer may take: it is left where that is of use.
void Exchanges::late(Exchange& exchange) {
    if (exchange.hedge || may_leave(exchange)) end(exchange, *exchange.first, Code::origin_head_timeout, 0);
}

void Exchanges::begin_hedge(Exchange& exchange) {
    if (!exchange.course.may_hedge()) return;
    const auto candidate = exchange.course.hedge();
    if (!candidate || !take_room(exchange, candidate->id)) return;
    exchange.course.hedge_begins(*candidate);
    exchange.request.hedged = true;
    exchange.hedge = next_attempt(exchange, *candidate);
    connect(exchange, *exchange.hedge, false);
}

/// The first attempt would have taken longer; its connection is closed.
void Exchanges::hedge_won(Exchange& exchange) {
    Attempt& first = *exchange.first;
    auto& times = worker_of(exchange).times[first.candidate.id];
    const bool by_times = scenario_.table->sites[exchange.errand.traffic->site].hedge.kind == conf::Hedge::Kind::p95;
    if (by_times && first.sent) times.heads.add(events_.now() - first.sent_at);
    if (first.watch && first.watch->waiting.waits()) {
        times.silence.gave_up(first.watch->waiting.since());
        first.watch.reset();
        look(exchange, first.candidate.id);
    }
    exchange.course.hedge_won();
    std::swap(exchange.first, exchange.hedge);
}

/// The end of one attempt: forward what there is, wait for the other one, or go on.
void Exchanges::end(Exchange& exchange, Attempt& attempt, Code fault, unsigned status) {
    const bool is_hedge = &attempt == exchange.hedge.get();
    const bool out_of_time = events_.now() >= due(exchange);
    attempt.stage = 0;
    attempt.status = status;
    attempt.watch.reset();
    if (attempt.sent || !out_of_time)
        settle(attempt, fault, status);  // a deadline that left a dial no time says nothing
    if (fault == Code::none) keep_connection(exchange, attempt);
    if (fault == Code::none && !is_retried(status)) {
        if (is_hedge) hedge_won(exchange);
        return finish(exchange, fault);
    }
    if (is_hedge) {
        exchange.course.hedge_failed();
        return park(exchange, std::move(exchange.hedge));
    }
    if (exchange.hedge) {
        exchange.course.hedge_takes_over();
        exchange.request.moved = true;
        park(exchange, std::exchange(exchange.first, std::move(exchange.hedge)));
        return wait(exchange, *exchange.first);
    }
    const auto step = exchange.course.ended(
        {.fault = fault, .status = status, .connected = attempt.sent, .out_of_time = out_of_time});
    if (step.kind == Course::Step::Kind::ask) {
        exchange.request.moved = true;
        if (step.again) exchange.slot = std::move(attempt.slot);
        park(exchange, std::move(exchange.first));
    }
    follow(exchange, step);
}

/// By default all that were in use are kept, and none is opened while one idles.
void Exchanges::keep_connection(const Exchange& exchange, const Attempt& attempt) {
    auto& pool = worker_of(exchange).pools[attempt.candidate.id];
    const auto& most = scenario_.config.limits.origin_idle;
    if (!most || pool.size() < *most)
        pool.push_back({attempt.address, events_.now() + scenario_.config.limits.origin_idle_timeout});
}

/// An answer keeps its share of the origin's capacity until it is known whether it is forwarded.
void Exchanges::park(Exchange& exchange, std::unique_ptr<Attempt> attempt) {
    if (attempt->status == 0) return drop(std::move(attempt));
    drop(std::exchange(exchange.parked, std::move(attempt)));
}

void Exchanges::drop(std::unique_ptr<Attempt> attempt) {
    if (!attempt) return;
    const geo::OriginId origin = attempt->candidate.id;
    attempt.reset();
    room_at(origin);
}

/// What the attempt says of its origin's health, as Exchange::settle() of the product.
void Exchanges::settle(const Attempt& attempt, Code fault, unsigned status) {
    const geo::OriginId id = attempt.candidate.id;
    if (fault == Code::none && !is_gateway(status)) {
        verdicts_.count(id, true);
        if (!troubled_[id]) return;
        troubled_[id] = false;
        verdicts_.on_attempt(id, health::Passive::ok, health::Reason::passed);
        return;
    }
    const auto reason = fault == Code::none ? health::Reason::status : info(fault).reason;
    if (reason == health::Reason::none || !verdicts_.table().origins[id].state.is_news(attempt.asked_at)) return;
    verdicts_.count(id, false);
    troubled_[id] = true;
    const bool answered = fault == Code::none || fault == Code::origin_head_timeout;
    verdicts_.on_attempt(id, answered ? health::Passive::answered_failed : health::Passive::connect_failed, reason);
}

// Silence: an origin that takes requests and answers none.

void Exchanges::watch(Exchange& exchange, Attempt& attempt) {
    attempt.watch.reset();
    const auto& passive = scenario_.config.origins[attempt.candidate.id].passive;
    if (!passive.enabled || passive.stall == passive.stall.zero()) return;
    auto& times = worker_of(exchange).times[attempt.candidate.id];
    attempt.watch = std::make_unique<Watch>(*this, exchange.index);
    attempt.watch->waiting.join(times.silence, *attempt.watch, events_.now());
    if (times.silence.may_be_found() && times.heads.known())
        plan(exchange, attempt.stage, events_.now() + times.silence.patience(passive.stall, times.heads),
             [this](Exchange& now) {
                 look(now, now.first->candidate.id);
                 leave_if_in_vain(now);
             });
}

void Exchanges::look(const Exchange& exchange, geo::OriginId origin) {
    Worker& worker = worker_of(exchange);
    auto& times = worker.times[origin];
    if (!times.silence.found(events_.now(), scenario_.config.origins[origin].passive.stall, times.heads)) return;
    skip(worker, origin, true);
    constexpr milliseconds apart{500};  // OriginLoad::first_to_report_stall()
    if (events_.now() - stall_reported_[origin] < apart) return;
    stall_reported_[origin] = events_.now();
    verdicts_.on_attempt(origin, health::Passive::connect_failed, health::Reason::stalled);
}

void Exchanges::Watch::notify() noexcept {
    const auto& exchange = *all.exchanges_[index];
    all.plan(exchange, exchange.first->stage, all.events_.now(),
             [owner = &all](Exchange& now) { owner->leave_if_in_vain(now); });
}

void Exchanges::leave_if_in_vain(Exchange& exchange) {
    const auto& watch = exchange.first->watch;
    if (watch && watch->waiting.in_vain() && (exchange.hedge || may_leave(exchange)))
        end(exchange, *exchange.first, Code::origin_stalled, 0);
}

void Exchanges::on_fault(geo::OriginId origin, unsigned address, const Fault& now) {
    if (now.hits == Fault::Hits::probes) return;
    const bool cut = now.trouble == Trouble::refused;
    const bool silent =
        now.trouble == Trouble::unreachable || now.trouble == Trouble::blackhole || now.trouble == Trouble::hang;
    if (cut)
        for (Worker& worker : workers_)
            std::erase_if(worker.pools[origin], [&](const Kept& kept) { return kept.address == address; });
    if (!cut && !silent) return;
    for (const auto& exchange : exchanges_) {
        if (!exchange) continue;
        for (Attempt* attempt : {exchange->first.get(), exchange->hedge.get()}) {
            if (!attempt || attempt->stage == 0 || !attempt->sent || attempt->candidate.id != origin ||
                attempt->address != address)
                continue;
            if (silent) {
                attempt->silent = true;
            } else if (!attempt->silent) {
                attempt->stage = ++stages_;
                plan(*exchange, attempt->stage, events_.now(), [this, stage = attempt->stage](Exchange& cut_off) {
                    Attempt& lost = cut_off.first->stage == stage ? *cut_off.first : *cut_off.hedge;
                    end(cut_off, lost, closed(lost), 0);
                });
            }
        }
    }
}

}  // namespace nearhop::simulate
