#include "proxy/simulate/exchanges.h"

#include <algorithm>
#include <utility>

namespace nearhop::simulate {

using exchange::may_move;
using exchange::Move;
using Code = account::Fault;
using steering::Considered;

namespace {

bool gateway_status(unsigned status) noexcept { return status == 502 || status == 503 || status == 504; }

}  // namespace

Exchanges::Exchanges(const Scenario& scenario, Events& events, Network& network, Verdicts& verdicts, Random& random,
                     Outcome& outcome)
    : scenario_{scenario},
      events_{events},
      network_{network},
      verdicts_{verdicts},
      random_{random},
      outcome_{outcome},
      workers_(scenario.workers) {
    for (Worker& worker : workers_) {
        worker.budgets.assign(scenario.table->sites.size(), exchange::RetryBudget{scenario.config.failover});
        worker.pools.resize(scenario.origins.size());
        worker.turns.resize(scenario.origins.size());
        worker.times.resize(scenario.origins.size());
        worker.skips.resize(scenario.origins.size());
    }
    troubled_.resize(scenario.origins.size());
    stall_reported_.resize(scenario.origins.size());
}

void Exchanges::begin(const Client& client, const Traffic& traffic, Method method) {
    if (free_.empty()) {
        free_.push_back(exchanges_.size());
        exchanges_.push_back(std::make_unique<Exchange>());
    }
    const Index index = free_.back();
    free_.pop_back();
    Exchange& exchange = *exchanges_[index];
    const auto step = exchange.step;
    exchange = {};
    exchange.step = step + 1;
    exchange.active = true;
    exchange.request.began = events_.time();
    exchange.request.client = client.number;
    exchange.request.country = static_cast<std::uint16_t>(client.country.index());
    exchange.request.method = method;
    exchange.traffic = &traffic;
    exchange.worker = client.worker;
    exchange.line = client.line;
    exchange.place = geo::place_of(client.country, geo::Source::database);
    exchange.began = events_.now();
    workers_[client.worker].budgets[traffic.site].on_request(events_.now());

    decide(exchange);
    if (const Considered* candidate = next_candidate(exchange)) {
        exchange.candidate = *candidate;
        attempt(index, false);
    } else {
        finish(index, Code::no_origin, 0);
    }
}

void Exchanges::decide(Exchange& exchange) {
    const steering::Facts facts{.site = exchange.traffic->site,
                                .method = name(exchange.request.method),
                                .path = exchange.traffic->path,
                                .line = exchange.line};
    steering::decide(facts, exchange.place, *scenario_.table, verdicts_.table(),
                     local(workers_[exchange.worker], exchange.traffic->site), exchange.earlier, exchange.decision);
}

const Considered* Exchanges::next_candidate(Exchange& exchange) {
    if (exchange.attempts != 0) decide(exchange);
    return exchange.decision.candidate_count == 0 ? nullptr : exchange.decision.candidates.data();
}

const conf::ExchangeLimits& Exchanges::limits(const Exchange& exchange) const {
    return scenario_.table->sites[exchange.traffic->site].routes[exchange.decision.route].limits;
}

Move Exchanges::move_after(const Exchange& exchange, Code fault, unsigned status) const {
    const Move move = may_move({.method = steering::method_class(name(exchange.request.method)),
                                .request_sent = exchange.sent,
                                .reused_connection = fault == Code::origin_stale,
                                .same_origin_tried = exchange.fresh_tried[exchange.candidate.position],
                                .status = status});
    return fault == Code::origin_head_timeout && move == Move::same_origin ? Move::no : move;
}

/// The end of Exchange::offer()'s loop: forward what there is, or go on.
void Exchanges::end_attempt(Index index, Code fault, unsigned status) {
    Exchange& exchange = *exchanges_[index];
    const auto& failover = scenario_.config.failover;
    ++exchange.step;
    exchange.watch.reset();
    const geo::OriginId from = exchange.candidate.id;
    const bool late = events_.now() >= exchange.began + deadline(exchange);
    if (exchange.sent || !late) note(exchange, fault, status);  // a deadline that left a dial no time says nothing
    if (fault == Code::none) {
        auto& pool = workers_[exchange.worker].pools[from];
        // By default all that were in use are kept, and none is opened while one idles.
        const auto& most = scenario_.config.limits.origin_idle;
        if (!most || pool.size() < *most)
            pool.push_back({exchange.address, events_.now() + scenario_.config.limits.origin_idle_timeout});
        if (!exchange::is_retried(status)) return finish(index, fault, status);
    }

    const auto stay = [&] {
        exchange.candidate.id = from;
        finish(index, fault, status);
    };
    const Move move = move_after(exchange, fault, status);
    if (move == Move::no || !failover.enabled || late) return stay();
    if (move == Move::next_origin) {
        exchange.earlier.tried.set(exchange.candidate.position);
        const bool enough = exchange.sent && exchange.sent_to.count() >= failover.sent_candidates;
        const Considered* candidate = enough || exchange.earlier.tried.count() >= failover.connect_candidates
                                          ? nullptr
                                          : next_candidate(exchange);
        if (!candidate) return stay();
        exchange.candidate = *candidate;
    } else {
        exchange.fresh_tried.set(exchange.candidate.position);
    }
    const bool is_free = !exchange.sent || (move == Move::same_origin && fault == Code::origin_stale);
    if (!is_free && !workers_[exchange.worker].budgets[exchange.traffic->site].take()) return stay();
    if (move == Move::same_origin) return attempt(index, true);
    if (exchange.earlier.tried.count() < 2) return attempt(index, false);
    const auto doublings = std::min<std::size_t>(exchange.earlier.tried.count() - 2, 8);
    const auto ceiling = std::min(failover.backoff * (1u << doublings), failover.backoff_max);
    const auto wait = std::chrono::duration_cast<milliseconds>(ceiling * random_.fraction());
    exchange.sent = false;  // nothing is open meanwhile
    plan(index, events_.now() + wait, [this, index] { attempt(index, false); });
}

/// What the attempt says of its origin's health, as Exchange::settle().
void Exchanges::note(Exchange& exchange, Code fault, unsigned status) {
    const geo::OriginId id = exchange.candidate.id;
    if (fault == Code::none && !gateway_status(status)) {
        verdicts_.count(id, true);
        if (!troubled_[id]) return;
        troubled_[id] = false;
        verdicts_.on_attempt(id, health::Passive::ok, health::Reason::passed);
        return;
    }
    const auto reason = fault == Code::none ? health::Reason::status : info(fault).reason;
    if (reason == health::Reason::none || !verdicts_.table().origins[id].state.is_news(exchange.asked_at)) return;
    verdicts_.count(id, false);
    troubled_[id] = true;
    const bool answered = fault == Code::none || fault == Code::origin_head_timeout;
    verdicts_.on_attempt(id, answered ? health::Passive::answered_failed : health::Passive::connect_failed, reason);
}

void Exchanges::finish(Index index, Code fault, unsigned status) {
    Exchange& exchange = *exchanges_[index];
    ++exchange.step;
    exchange.active = false;
    Request& request = exchange.request;
    request.took = events_.time() - request.began;
    request.status = static_cast<std::uint16_t>(fault == Code::none ? status : info(fault).status);
    request.served = fault == Code::none ? exchange.candidate.id : no_origin;
    request.attempts = static_cast<std::uint8_t>(std::min(exchange.attempts, 255u));
    outcome_.requests.push_back(request);
    free_.push_back(index);
}

/// As Context::local().
steering::Local Exchanges::local(const Worker& worker, steering::SiteId site) const {
    steering::Local local;
    const auto& origins = scenario_.table->sites[site].origins;
    for (std::size_t i = 0; i < origins.size(); ++i) {
        const Skip& skip = worker.skips[origins[i]];
        if (skip.until <= events_.now() || skip.since != verdicts_.table().origins[origins[i]].state.since) continue;
        local.skips.set(static_cast<steering::Position>(i));
        local.stalled.set(static_cast<steering::Position>(i), skip.stalled);
    }
    return local;
}

void Exchanges::skip(Worker& worker, geo::OriginId origin, bool is_stalled) {
    const auto since = verdicts_.table().origins[origin].state.since;
    worker.skips[origin] = {events_.now() + std::chrono::seconds{1}, since, is_stalled};
}

}  // namespace nearhop::simulate
