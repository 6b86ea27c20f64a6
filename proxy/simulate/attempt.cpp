#include "proxy/origin/connection.h"
#include "proxy/simulate/exchanges.h"

#include <algorithm>
#include <utility>

/// One attempt of an exchange: its connection, the wait for its answer, and what may cut that short.
namespace nearhop::simulate {

using exchange::may_move;
using exchange::Move;
using Code = account::Fault;
using steering::Considered;

void Exchanges::attempt(Index index, bool fresh) {
    Exchange& exchange = *exchanges_[index];
    Worker& worker = workers_[exchange.worker];
    const geo::OriginId origin = exchange.candidate.id;
    ++exchange.attempts;
    ++exchange.step;
    exchange.sent = exchange.reused = exchange.silent = false;
    exchange.asked_at = events_.now();
    const auto second = static_cast<std::size_t>(std::chrono::floor<std::chrono::seconds>(events_.time()).count());
    auto& attempts = outcome_.attempts[origin];
    if (second < attempts.size()) ++attempts[second];

    auto& pool = worker.pools[origin];
    std::erase_if(pool, [&](const Kept& kept) { return kept.until <= events_.now(); });
    if (!fresh && !pool.empty()) {
        exchange.address = pool.back().address;
        exchange.reused = true;
        pool.pop_back();
        return send(index);
    }

    const auto dialled =
        network_.dial(origin, verdicts_.addresses_down(origin), worker.turns[origin]++, scenario_.config.failover);
    watch(index);
    plan(index, exchange.began + deadline(exchange),
         [this, index] { end_attempt(index, Code::origin_connect_timeout, 0); });
    plan(index, events_.now() + dialled.took, [this, index, dialled] {
        Exchange& now = *exchanges_[index];
        Worker& own = workers_[now.worker];
        const geo::OriginId id = now.candidate.id;
        for (const auto& failure : dialled.failures) {
            verdicts_.on_dial(id, failure.address, health::Passive::connect_failed, info(failure.fault).reason);
            troubled_addresses_.insert({id, failure.address});
        }
        if (dialled.fault != Code::none) {
            skip(own, id, false);
            return end_attempt(index, dialled.fault, 0);
        }
        now.address = dialled.address;
        if (troubled_addresses_.erase({id, dialled.address}) != 0)
            verdicts_.on_dial(id, dialled.address, health::Passive::ok, health::Reason::passed);
        send(index);
    });
}

/// As Exchange::may_leave(): whether the retry table allows to go on elsewhere although the origin may still answer.
bool Exchanges::may_leave(const Exchange& exchange) const {
    const auto& failover = scenario_.config.failover;
    const auto chosen = exchange.decision.chosen();
    const bool another = std::any_of(chosen.begin(), chosen.end(), [&](const Considered& each) {
        return !exchange.earlier.tried[each.position] && each.id != exchange.candidate.id;
    });
    if (!failover.enabled || !another) return false;
    if (!exchange.sent) return exchange.earlier.tried.count() + 1 < failover.connect_candidates;
    const auto method = steering::method_class(name(exchange.request.method));
    return exchange.sent_to.count() < failover.sent_candidates &&
           workers_[exchange.worker].budgets[exchange.traffic->site].tokens() >= 1 &&
           may_move({.method = method, .request_sent = true}) == Move::next_origin;
}

Code Exchanges::closed(const Exchange& exchange) const {
    const bool young = events_.now() < exchange.sent_at + origin::stale_within;
    return exchange.reused && young ? Code::origin_stale : Code::origin_reset;
}

void Exchanges::send(Index index) {
    Exchange& exchange = *exchanges_[index];
    ++exchange.step;
    exchange.sent = true;
    exchange.sent_at = events_.now();
    exchange.sent_to.set(exchange.candidate.position);
    ++exchange.request.sent;
    watch(index);

    const auto out_of_time = [this, index] { end_attempt(index, Code::origin_head_timeout, 0); };
    plan(index, exchange.began + deadline(exchange), out_of_time);
    plan(index, exchange.sent_at + limits(exchange).head_timeout, [this, index, out_of_time] {
        if (may_leave(*exchanges_[index])) out_of_time();
    });
    const auto answer = network_.answer(exchange.candidate.id, exchange.address, Fault::Hits::requests);
    exchange.silent = answer.kind == Network::Answer::Kind::silence;
    if (exchange.silent) return;
    plan(index, exchange.sent_at + answer.after, [this, index, answer] {
        Exchange& now = *exchanges_[index];
        if (now.silent) return;  // it fell silent on the way
        if (answer.kind == Network::Answer::Kind::reset) return end_attempt(index, closed(now), 0);
        auto& times = workers_[now.worker].times[now.candidate.id];
        times.silence.answered(events_.now());
        times.heads.add(events_.now() - now.sent_at);
        end_attempt(index, Code::none, answer.status);
    });
}

// Silence: an origin that takes requests and answers none. As Exchange::Watch in ask.cpp.

void Exchanges::watch(Index index) {
    Exchange& exchange = *exchanges_[index];
    exchange.watch.reset();
    const auto& passive = scenario_.config.origins[exchange.candidate.id].passive;
    if (!passive.enabled || passive.stall == passive.stall.zero()) return;
    auto& times = workers_[exchange.worker].times[exchange.candidate.id];
    exchange.watch = std::make_unique<Watch>(*this, index);
    exchange.watch->waiting.join(times.silence, *exchange.watch, events_.now());
    if (times.silence.may_be_found() && times.heads.known())
        plan(index, events_.now() + times.silence.patience(passive.stall, times.heads), [this, index] { look(index); });
}

void Exchanges::look(Index index) {
    const Exchange& exchange = *exchanges_[index];
    const geo::OriginId id = exchange.candidate.id;
    Worker& worker = workers_[exchange.worker];
    auto& times = worker.times[id];
    if (times.silence.found(events_.now(), scenario_.config.origins[id].passive.stall, times.heads)) {
        skip(worker, id, true);
        constexpr milliseconds apart{500};  // OriginLoad::first_to_report_stall()
        if (events_.now() - stall_reported_[id] >= apart) {
            stall_reported_[id] = events_.now();
            verdicts_.on_attempt(id, health::Passive::connect_failed, health::Reason::stalled);
        }
    }
    leave_if_in_vain(index);
}

void Exchanges::Watch::notify() noexcept {
    all.plan(index, all.events_.now(), [owner = &all, number = index] { owner->leave_if_in_vain(number); });
}

void Exchanges::leave_if_in_vain(Index index) {
    const Exchange& exchange = *exchanges_[index];
    if (exchange.watch && exchange.watch->waiting.in_vain() && may_leave(exchange))
        end_attempt(index, Code::origin_stalled, 0);
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
    for (Index index = 0; index < exchanges_.size(); ++index) {
        Exchange& exchange = *exchanges_[index];
        if (!exchange.active || !exchange.sent || exchange.candidate.id != origin || exchange.address != address)
            continue;
        if (silent) {
            exchange.silent = true;
        } else if (!exchange.silent) {
            ++exchange.step;
            plan(index, events_.now(), [this, index, fault = closed(exchange)] { end_attempt(index, fault, 0); });
        }
    }
}

}  // namespace nearhop::simulate
