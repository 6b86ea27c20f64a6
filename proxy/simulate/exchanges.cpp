#include "proxy/simulate/exchanges.h"

#include <algorithm>
#include <string>
#include <utility>

namespace nearhop::simulate {

using Code = account::Fault;
using exchange::Course;
using steering::Considered;

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
    for (const auto& origin : scenario.config.origins) {
        loads_.push_back(std::make_unique<shared::OriginLoad>());
        loads_.back()->set(origin.capacity, scenario.config.failover.queue);
    }
    pins_.prepare(*scenario.config.failover.idempotency_keys);
    troubled_.resize(scenario.origins.size());
    stall_reported_.resize(scenario.origins.size());
}

void Exchanges::begin(const Errand& errand) {
    if (free_.empty()) {
        free_.push_back(exchanges_.size());
        exchanges_.emplace_back();
    }
    const Index index = free_.back();
    free_.pop_back();
    exchanges_[index] = std::make_unique<Exchange>(*this, index, errand);
    Exchange& exchange = *exchanges_[index];
    exchange.request.began = events_.time();
    exchange.request.client = errand.client.number;
    exchange.request.country = static_cast<std::uint16_t>(errand.client.country.index());
    exchange.request.method = errand.method;
    exchange.place = geo::place_of(errand.client.country, geo::Source::database);
    exchange.began = events_.now();
    exchange.budget().on_request(events_.now());

    const Traffic& traffic = *errand.traffic;
    const auto& site = scenario_.table->sites[traffic.site];
    const auto method = steering::method_class(name(errand.method));
    if (errand.has_key && method == steering::MethodClass::unsafe)
        exchange.key = pins_.request(site.name, name(errand.method), traffic.path, std::to_string(errand.number));
    exchange.decide({});
    follow(exchange, exchange.course.begin({.method = method,
                                            .has_key = exchange.key != 0,
                                            .hedge = errand.method == Method::get ? site.hedge : conf::Hedge{}},
                                           scenario_.config.failover, exchange.decision));
}

// What the course asks of the edge.

const steering::Decision& Exchanges::Exchange::decide(const steering::Earlier& earlier) {
    const steering::Facts facts{.site = errand.traffic->site,
                                .method = name(errand.method),
                                .path = errand.traffic->path,
                                .line = errand.client.line};
    steering::decide(facts, place, *all.scenario_.table, all.verdicts_.table(),
                     all.local(all.worker_of(*this), facts.site), earlier, decision);
    return decision;
}

std::optional<steering::OriginSet> Exchanges::Exchange::pinned() {
    const auto known_at = all.pins_.find(key, all.events_.now().time_since_epoch());
    if (known_at == 0) return std::nullopt;
    steering::OriginSet pinned;
    const auto& origins = all.scenario_.table->sites[errand.traffic->site].origins;
    for (std::size_t i = 0; i < origins.size(); ++i)
        pinned.set(static_cast<steering::Position>(i), origins[i] + std::uint64_t{1} == known_at);
    return pinned;
}

Course::Edge::Claim Exchanges::Exchange::claim(geo::OriginId origin) {
    const std::uint64_t mine = origin + std::uint64_t{1};
    const auto claim = all.pins_.claim(key, mine, all.events_.now().time_since_epoch(),
                                       all.scenario_.config.failover.idempotency_expiry);
    return {.ours = claim.origin == mine, .made = claim.made};
}

void Exchanges::Exchange::release(geo::OriginId origin) { all.pins_.release(key, origin + std::uint64_t{1}); }

/// As Exchange::offer() of the product.
void Exchanges::follow(Exchange& exchange, Course::Step step) {
    switch (step.kind) {
        case Course::Step::Kind::stop: return finish(exchange, step.fault);
        case Course::Step::Kind::queue: return queue(exchange, step.candidate);
        case Course::Step::Kind::ask: break;
    }
    if (step.back_off == milliseconds::zero()) return enter(exchange, step);
    const auto wait = std::chrono::duration_cast<milliseconds>(step.back_off * random_.fraction());
    exchange.stage = ++stages_;
    plan(exchange, exchange.stage, events_.now() + wait, [this, step](Exchange& now) { enter(now, step); });
}

void Exchanges::enter(Exchange& exchange, const Course::Step& step) {
    exchange.stage = 0;
    if (!take_room(exchange, step.candidate.id)) return follow(exchange, exchange.course.no_room());
    drop(std::move(exchange.first));
    exchange.first = next_attempt(exchange, step.candidate);
    exchange.course.asks();
    connect(exchange, *exchange.first, step.again);
}

bool Exchanges::take_room(Exchange& exchange, geo::OriginId origin) {
    if (scenario_.config.origins[origin].capacity == 0 || exchange.slot) return true;
    exchange.slot = loads_[origin]->enter(loop_);
    return static_cast<bool>(exchange.slot);
}

void Exchanges::queue(Exchange& exchange, const Considered& candidate) {
    exchange.waiting = std::make_unique<Place>(*loads_[candidate.id], loop_);
    exchange.candidate = candidate;
    if (exchange.waiting->waiter.refused()) return finish(exchange, Code::origin_full);
    if (leave_queue(exchange)) return;
    exchange.stage = ++stages_;
    const auto until = std::min(events_.now() + scenario_.config.failover.queue_time, due(exchange));
    plan(exchange, exchange.stage, until, [this](Exchange& now) { finish(now, Code::origin_full); });
}

/// Goes on if its turn has come.
bool Exchanges::leave_queue(Exchange& exchange) {
    exchange.slot = exchange.waiting->waiter.take();
    if (!exchange.slot) return false;
    exchange.waiting.reset();
    follow(exchange, exchange.course.admitted());
    return true;
}

/// A request left the origin: the next one in its queue goes on.
void Exchanges::room_at(geo::OriginId origin) {
    if (loads_[origin]->capacity() == 0) return;
    events_.at(events_.now(), [this, origin] {
        for (const auto& exchange : exchanges_)
            if (exchange && exchange->waiting && exchange->candidate.id == origin && leave_queue(*exchange)) return;
    });
}

const conf::ExchangeLimits& Exchanges::limits(const Exchange& exchange) const {
    return scenario_.table->sites[exchange.errand.traffic->site].routes[exchange.decision.route].limits;
}

/// Where nobody did better, an answer of 503 is forwarded rather than an error of our own.
void Exchanges::finish(Exchange& exchange, Code fault) {
    const Attempt* answer = fault == Code::none ? exchange.first.get() : exchange.parked.get();
    Request& request = exchange.request;
    request.took = events_.time() - request.began;
    request.status = static_cast<std::uint16_t>(answer ? answer->status : info(fault).status);
    request.served = answer ? answer->candidate.id : no_origin;
    request.attempts = static_cast<std::uint8_t>(std::min(exchange.course.attempts(), 255u));
    outcome_.requests.push_back(request);
    repeat(exchange);
    const auto over = std::move(exchanges_[exchange.index]);
    free_.push_back(over->index);
    if (over->waiting) room_at(over->candidate.id);  // its turn may have come just now
    over->waiting.reset();
    for (auto* attempt : {&over->first, &over->hedge, &over->parked}) drop(std::move(*attempt));
}

/// The client sees an error, and tries again.
void Exchanges::repeat(const Exchange& exchange) {
    Errand errand = exchange.errand;
    const auto& after = errand.traffic->repeat_after;
    if (!exchange.request.failed() || errand.repeats == 0 || events_.time() + after >= scenario_.duration) return;
    --errand.repeats;
    events_.after(after, [this, errand] { begin(errand); });
}

/// As Context::local().
steering::Local Exchanges::local(const Worker& worker, steering::SiteId site) const {
    steering::Local local;
    const auto& origins = scenario_.table->sites[site].origins;
    for (std::size_t i = 0; i < origins.size(); ++i) {
        const auto position = static_cast<steering::Position>(i);
        const geo::OriginId id = origins[i];
        local.busy.set(position, loads_[id]->is_busy());
        local.full.set(position, loads_[id]->is_full());
        const Skip& skip = worker.skips[id];
        if (skip.until <= events_.now() || skip.since != verdicts_.table().origins[id].state.since) continue;
        local.skips.set(position);
        local.stalled.set(position, skip.stalled);
    }
    return local;
}

void Exchanges::skip(Worker& worker, geo::OriginId origin, bool is_stalled) {
    const auto since = verdicts_.table().origins[origin].state.since;
    worker.skips[origin] = {events_.now() + std::chrono::seconds{1}, since, is_stalled};
}

}  // namespace nearhop::simulate
