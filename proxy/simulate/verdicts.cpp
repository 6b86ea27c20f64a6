#include "proxy/simulate/verdicts.h"

#include "conf/syntax.h"
#include "health/describe.h"
#include "health/settings.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace nearhop::simulate {

namespace {

constexpr std::chrono::seconds tick_every{1};
constexpr milliseconds traffic_pause{50};
constexpr double rtt_step_ms = 1;

bool same(const health::OriginHealth& left, const health::OriginHealth& right) {
    health::State state = left.state;
    state.changing = right.state.changing;
    return state == right.state && left.rtt_ms == right.rtt_ms && left.failing == right.failing &&
           left.share == right.share;
}

}  // namespace

Verdicts::Verdicts(const Scenario& scenario, Events& events, Network& network, Random& random,
                   std::vector<Happening>& timeline)
    : scenario_{scenario}, events_{events}, network_{network}, random_{random}, timeline_{timeline} {
    for (std::size_t id = 0; id < scenario.config.origins.size(); ++id) {
        const auto& given = scenario.config.origins[id];
        const auto& probe = given.health;
        Origin origin{health::OriginMonitor{health::thresholds_of(probe, given.passive)},
                      health::Failback{health::settings_of(scenario.config.failback)},
                      {probe.interval, probe.interval_transitional, probe.interval_down, probe.jitter}};
        std::vector<std::string> texts;
        for (unsigned address = 1; address <= scenario.origins[id].addresses; ++address)
            texts.push_back(std::to_string(address));
        for (const auto& text : texts) origin.addresses.push_back({.text = text});
        origin.monitor.set_addresses(texts, events.now());
        origins_.push_back(std::move(origin));
    }
    std::vector<std::string> names, targets;
    for (const auto& origin : scenario.config.origins) names.push_back(origin.name);
    for (const auto& target : scenario.config.isolation.control) {
        targets.push_back(conf::to_string(*target));
        controls_.push_back({.name = targets.back()});
    }
    guard_.follow(names, targets, events.now());
    grace_ = scenario.config.failover.tls_timeout;
    for (const auto& site : scenario.table->sites)
        for (const auto& route : site.routes) grace_ = std::max(grace_, route.limits.head_timeout);
    leaders_.resize(scenario.table->sites.size());
    published_.origins.resize(origins_.size());
}

void Verdicts::start() {
    for (std::size_t id = 0; id < origins_.size(); ++id)
        for (Address& address : origins_[id].addresses) plan(static_cast<geo::OriginId>(id), address, events_.now());
    for (Control& control : controls_) plan_check(control, events_.now());
    events_.after(tick_every, [this] { tick(); });
}

void Verdicts::tick() {
    events_.after(tick_every, [this] { tick(); });
    read_traffic();
    for (std::size_t id = 0; id < origins_.size(); ++id) {
        Origin& origin = origins_[id];
        const auto answers = std::exchange(origin.answers, 0), failures = std::exchange(origin.failures, 0);
        if (!guard_.isolated()) look_at_failback(static_cast<geo::OriginId>(id), answers, failures);
    }
    if (!guard_.isolated()) look_at_leaders();
    publish();
}

void Verdicts::read_traffic() {
    const TimePoint since = std::exchange(traffic_read_, events_.now());
    for (std::size_t id = 0; id < origins_.size(); ++id) {
        Origin& origin = origins_[id];
        const auto ok = std::exchange(origin.ok, 0);
        auto failed = std::exchange(origin.failed, 0);
        if (ok > 0) heard(scenario_.config.origins[id].name, since);
        if (failed > 0) note_failure(static_cast<geo::OriginId>(id));
        if (traffic_is_ours()) failed = 0;
        origin.answers += ok + failed;
        origin.failures += failed;
        if (ok + failed > 0)
            apply(static_cast<geo::OriginId>(id),
                  [&] { return origin.monitor.on_traffic(ok, failed, events_.now(), random_.fraction()); });
    }
}

/// A share of failures is noticed as soon as a row of them, not with the next tick.
void Verdicts::hurry_traffic() {
    if (std::exchange(traffic_planned_, true)) return;
    events_.at(traffic_read_ + traffic_pause, [this] {
        traffic_planned_ = false;
        read_traffic();
    });
}

std::vector<bool> Verdicts::addresses_down(geo::OriginId origin) const {
    std::vector<bool> down;
    for (const Address& address : origins_[origin].addresses)
        down.push_back(!origins_[origin].monitor.address_state(address.text).eligible());
    return down;
}

void Verdicts::on_attempt(geo::OriginId id, health::Passive result, health::Reason reason) {
    if (!hear(id, result, reason)) return;
    apply(id, [&] { return origins_[id].monitor.on_passive({}, result, reason, events_.now(), random_.fraction()); });
    if (!health::is_good(result)) hurry_traffic();
}

void Verdicts::on_dial(geo::OriginId id, unsigned address, health::Passive result, health::Reason reason) {
    if (!hear(id, result, reason)) return;
    Origin& origin = origins_[id];
    apply(id, [&] {
        return origin.monitor.on_dial(origin.addresses[address].text, result, reason, events_.now(),
                                      random_.fraction());
    });
}

void Verdicts::count(geo::OriginId id, bool good) { ++(good ? origins_[id].ok : origins_[id].failed); }

// Probes: when, and what they find.

void Verdicts::plan(geo::OriginId id, Address& address, TimePoint due) {
    address.due = due;
    events_.at(due, [this, id, &address, number = ++address.plan] {
        if (number == address.plan && !address.probing) probe(id, address);
    });
}

void Verdicts::probe(geo::OriginId id, Address& address) {
    address.probing = true;
    address.began = events_.now();
    const Probed found = ask(id, address);
    events_.after(found.took, [this, id, &address, found] {
        Origin& origin = origins_[id];
        const bool first = !std::exchange(address.probed, true);
        address.probing = false;
        if (found.rtt_ms >= 0) origin.monitor.on_rtt(address.text, found.rtt_ms, events_.now());
        address.dice = random_.fraction();
        const auto& result = found.result;
        if (!result.passed) note_failure(id);
        if (health::sign_of(result.reason) == health::Sign::answered)
            heard(scenario_.config.origins[id].name, events_.now());
        else if (found.rtt_ms >= 0)
            heard(scenario_.config.origins[id].name, address.began);
        else if (health::sign_of(result.reason) == health::Sign::silent)
            silent(id);
        if (result.passed || !guard_.is_ours(address.began)) {
            origin.failback.on_probe(result.passed, events_.now());
            apply(id, [&] { return origin.monitor.on_probe(address.text, result, events_.now()); });
        }
        TimePoint due = next_probe(origin, address);
        if (first && !origin.monitor.schedule_state(address.text).changing)
            due = std::max(events_.now() + milliseconds{1},
                           address.began + health::first_delay(origin.intervals, random_.fraction()));
        plan(id, address, due);
    });
}

Verdicts::Probed Verdicts::ask(geo::OriginId id, Address& address) {
    constexpr auto who = Fault::Hits::probes;
    const auto& settings = scenario_.config.origins[id].health;
    const auto number = static_cast<unsigned>(&address - origins_[id].addresses.data());
    const microseconds limit = *settings.timeout;
    Probed probed;
    const auto fails = [&](health::Reason reason, microseconds took) {
        address.kept = false;
        probed.result = {.reason = reason, .began = address.began};
        probed.took = std::min(took, limit);
        return probed;
    };
    const Trouble trouble = network_.fault(id, number, who).trouble;
    // A kept connection notices a reset before it is used, and nothing of a silence.
    if (trouble == Trouble::refused || trouble == Trouble::reset) address.kept = false;
    constexpr std::chrono::minutes connection_age{1};  // origin::Prober's
    if (events_.now() - address.connected >= connection_age) address.kept = false;

    microseconds took{};
    if (!address.kept) {
        const auto trip = network_.trip(id, number, who);
        const microseconds connect_limit = std::min<microseconds>(settings.connect_timeout, limit);
        if (trouble == Trouble::refused) return fails(health::Reason::refused, trip);
        if (trouble == Trouble::unreachable) return fails(health::Reason::unreachable, trip);
        if (trouble == Trouble::blackhole || trip > connect_limit)
            return fails(health::Reason::connect_timeout, connect_limit);
        probed.rtt_ms = std::chrono::duration<double, std::milli>{trip}.count();
        took = trip;
        if (network_.tls(id)) {
            if (trouble == Trouble::hang) return fails(health::Reason::tls_timeout, limit);
            took += network_.trip(id, number, who);
        }
        address.kept = true;
        address.connected = events_.now();
    }
    const auto answer = network_.answer(id, number, who);
    if (answer.kind == Network::Answer::Kind::reset) return fails(health::Reason::reset, took + answer.after);
    if (answer.kind == Network::Answer::Kind::silence || took + answer.after > limit)
        return fails(health::Reason::head_timeout, limit);
    probed.took = took + answer.after;
    const bool passes = std::any_of(settings.statuses.begin(), settings.statuses.end(), [&](const auto& range) {
        return answer.status >= range.first && answer.status <= range.second;
    });
    probed.result.passed = passes;
    probed.result.reason = passes ? health::Reason::passed : health::Reason::status;
    probed.result.status = answer.status;
    probed.result.began = address.began;
    return probed;
}

TimePoint Verdicts::next_probe(const Origin& origin, const Address& address) const {
    health::State state = origin.monitor.schedule_state(address.text);
    state.changing |= guard_.isolated();
    state.changing |= origin.failback.returning() && state.verdict != health::Verdict::down;
    return health::next_probe(origin.intervals, state, address.began, events_.now(), address.dice);
}

/// An ejection makes the probes faster than they were planned.
void Verdicts::hurry(geo::OriginId id) {
    for (Address& address : origins_[id].addresses) {
        if (address.probing || !address.probed) continue;
        if (const auto due = next_probe(origins_[id], address); due < address.due) plan(id, address, due);
    }
}

// What follows from it.

template <class Call>
void Verdicts::apply(geo::OriginId id, Call call) {
    Origin& origin = origins_[id];
    const health::State before = origin.monitor.state();
    const bool changed = call();
    hurry(id);
    if (!changed) return;
    const health::State after = origin.monitor.state();
    if (before.verdict != after.verdict || before.ejected != after.ejected || before.draining != after.draining)
        tell(health::describe(scenario_.config.origins[id].name, before, after));
    look_at_failback(id, 0, 0);
    publish();
}

void Verdicts::look_at_failback(geo::OriginId id, std::uint64_t ok, std::uint64_t failed) {
    Origin& origin = origins_[id];
    const health::State state = origin.monitor.state();
    if (state.verdict == health::Verdict::unknown) return;
    if (guard_.isolated()) return;
    auto& failback = origin.failback;
    const bool held = failback.holding(), grew = failback.ramping();
    failback.look(state, ok + failed, failed, events_.now());
    if (failback.holding()) origin.monitor.put_off_trial(events_.now());
    const std::string name = "origin=" + scenario_.config.origins[id].name;
    if (failback.holding() && !held) {
        const auto lasts = std::chrono::duration_cast<milliseconds>(failback.hold_until() - events_.now());
        tell(name + " failback=held for_ms=" + std::to_string(lasts.count()));
    }
    if (failback.ramping() && !grew) tell(name + " failback=returning");
    if ((held || grew) && failback.share() == health::Failback::everyone && state.eligible())
        tell(name + " failback=back");
}

void Verdicts::look_at_leaders() {
    for (std::size_t site = 0; site < leaders_.size(); ++site) {
        const auto& table = scenario_.table->sites[site];
        if (table.policy != conf::Policy::latency) continue;
        std::vector<health::Leader::Candidate> candidates;
        for (const geo::OriginId id : table.origins) {
            const auto& health = published_.origins[id];
            const auto ms = health.rtt_ms < 0 ? -1 : static_cast<std::int32_t>(std::lround(health.rtt_ms));
            candidates.push_back({id, ms, scenario_.table->origins[id].weight,
                                  health.state.eligible() && health.share == health::Failback::everyone});
        }
        auto& leader = leaders_[site];
        const auto before = leader.origin();
        if (!leader.look(candidates, events_.now()) || !leader.origin()) continue;
        tell("site=" + table.name + " leader=" + scenario_.config.origins[*leader.origin()].name +
             (before ? " was=" + scenario_.config.origins[*before].name : ""));
    }
}

health::OriginHealth Verdicts::health_of(geo::OriginId id) {
    Origin& origin = origins_[id];
    auto health = origin.monitor.health(events_.now());
    const bool moved = !guard_.isolated() && ((health.rtt_ms < 0) != (origin.shown_rtt < 0) ||
                                              std::abs(health.rtt_ms - origin.shown_rtt) > rtt_step_ms);
    if (moved) origin.shown_rtt = health.rtt_ms;
    health.rtt_ms = origin.shown_rtt;
    health.share = origin.failback.share();
    return health;
}

void Verdicts::publish() {
    health::Table table;
    for (std::size_t id = 0; id < origins_.size(); ++id)
        table.origins.push_back(health_of(static_cast<geo::OriginId>(id)));
    for (const auto& leader : leaders_) table.leaders.push_back(leader.origin() ? *leader.origin() : -1);
    if (table.leaders == published_.leaders && std::equal(table.origins.begin(), table.origins.end(),
                                                          published_.origins.begin(), published_.origins.end(), same))
        return;
    table.generation = published_.generation + 1;
    published_ = std::move(table);
}

void Verdicts::tell(std::string what) {
    if (events_.time() >= microseconds::zero()) timeline_.push_back({events_.time(), std::move(what)});
}

}  // namespace nearhop::simulate
