#include "proxy/control/origin_watch.h"

#include "health/describe.h"
#include "health/settings.h"
#include "proxy/account/logging.h"
#include "proxy/loop/keeper.h"
#include "proxy/shared/failures.h"

#include <algorithm>
#include <cstring>
#include <netinet/in.h>
#include <utility>

namespace nearhop::control {
namespace {

using loop::TimePoint;

std::string list_of(const std::vector<geo::Address>& addresses) {
    std::string text;
    for (const auto& address : addresses) text += (text.empty() ? "" : ",") + address.text();
    return text.empty() ? "-" : text;
}

}  // namespace

shared::Endpoint endpoint_of(const geo::Address& address, std::uint16_t port) {
    shared::Endpoint endpoint;
    const auto& bytes = address.bytes();
    if (address.is_v4()) {
        sockaddr_in raw{};
        raw.sin_family = AF_INET;
        raw.sin_port = htons(port);
        std::memcpy(&raw.sin_addr, bytes.data() + 12, 4);
        std::memcpy(&endpoint.address, &raw, sizeof raw);
        endpoint.size = sizeof raw;
        endpoint.text = address.text() + ':' + std::to_string(port);
    } else {
        sockaddr_in6 raw{};
        raw.sin6_family = AF_INET6;
        raw.sin6_port = htons(port);
        std::memcpy(&raw.sin6_addr, bytes.data(), bytes.size());
        std::memcpy(&endpoint.address, &raw, sizeof raw);
        endpoint.size = sizeof raw;
        endpoint.text = '[' + address.text() + "]:" + std::to_string(port);
    }
    return endpoint;
}

OriginWatch::OriginWatch(Surroundings& around, OriginFigures& figures, const conf::Passive& passive,
                         const conf::Probe& probe, Known known)
    : around_{around},
      figures_{figures},
      monitor_{health::thresholds_of(probe, passive)},
      failback_{health::FailbackSettings{}},
      known_{std::move(known)},
      resolve_wake_{around.loop},
      resolve_timer_{around.loop, resolve_wake_} {}

void OriginWatch::configure(const shared::OriginInfo& info, const conf::Origin& origin, const conf::Failback& failback,
                            const conf::Dns& dns, Resolver& resolver) {
    const bool first = !plan_;
    const auto& health = origin.health;
    name_ = info.name;
    load_ = around_.registry.load(name_);
    host_ = info.host;
    port_ = info.port;
    intervals_ = {health.interval, health.interval_transitional, health.interval_down, health.jitter};
    plan_ = std::make_shared<const ProbePlan>(info, health);
    monitor_.set_thresholds(health::thresholds_of(health, origin.passive));
    failback_.set(health::settings_of(failback));
    checks_ = health.checks;
    missing_ = {};
    told_unread_ = false;
    agent_expiry_ = health.agent_expiry;
    apply({}, [&] {
        monitor_.set_checks(checks_, around_.loop.now());
        logged_ = monitor_.failing();  // the same ones by other numbers
        return !first;
    });
    min_ttl_ = dns.min_ttl;
    max_ttl_ = dns.max_ttl;
    const bool other_resolver = std::exchange(resolver_, &resolver) != &resolver;

    by_name_ = !info.host_is_address;
    if (first && !by_name_) known_.addresses = {*geo::Address::parse(host_)};
    if (first && !known_.addresses.empty()) set_addresses(known_.addresses);
    if (by_name_ && other_resolver) {
        // What is being resolved starts again; an answer that still holds is waited out.
        resolving_ = loop::keep(
            around_.loop, [this] { return keep_resolving(); },
            shared::noting(around_.registry, account::Duty::resolve));
        resolving_.start();
    }
    if (!first) hurry();
}

void OriginWatch::on_report(const shared::PassiveReport& report) {
    if (report.wants_probe) return probe_now();
    const auto now = around_.loop.now();
    const bool is_good = report.agent != health::Agent::none || health::is_good(report.result);
    if (!is_good) note_failure();
    if (is_good || health::sign_of(report.reason) == health::Sign::answered)
        around_.isolation.answered(name_, now, now);
    else if (health::sign_of(report.reason) == health::Sign::silent)
        around_.isolation.silent(name_);
    if (report.agent != health::Agent::none)
        return apply({}, [&] { return monitor_.on_agent(report.agent, agent_expiry_, now); });
    if (!is_good && around_.isolation.traffic_is_ours()) return;
    apply(report.address, [&] {
        return report.address.empty()
                   ? monitor_.on_passive({}, report.result, report.reason, now, around_.dice())
                   : monitor_.on_dial(report.address, report.result, report.reason, now, around_.dice());
    });
    // Requests that wait in vain want to know soon whether it is the origin or only its answers.
    if (report.reason == health::Reason::stalled) probe_now();
}

void OriginWatch::on_traffic(std::uint64_t successes, std::uint64_t failures, TimePoint since) {
    if (successes > 0) around_.isolation.answered(name_, since, around_.loop.now());
    if (failures > 0) note_failure();
    if (around_.isolation.traffic_is_ours()) failures = 0;
    answers_ += successes + failures;
    failures_ += failures;
    if (successes == 0 && failures == 0) return;
    apply({}, [&] { return monitor_.on_traffic(successes, failures, around_.loop.now(), around_.dice()); });
}

void OriginWatch::on_tick() {
    if (around_.isolation.isolated()) return;
    apply({}, [&] { return monitor_.on_time(around_.loop.now()); });
    look_at_return(std::exchange(answers_, 0), std::exchange(failures_, 0));
}

loop::Task<> OriginWatch::keep_resolving() {
    for (;;) {
        resolve_timer_.expires_at(known_.next_resolve);
        while (!resolve_timer_.expired()) co_await resolve_wake_.wait();
        Resolver::Early early = [this](const Resolved& half) { use(half); };
        const auto resolved = co_await resolver_->resolve(host_, known_.addresses, std::move(early));
        const bool good = !resolved.addresses.empty();
        const auto ttl = good ? std::clamp(resolved.ttl, min_ttl_, max_ttl_) : min_ttl_;
        known_.next_resolve = around_.loop.now() + ttl;
        if (good) known_.ttl = ttl;
        learn(resolved);
    }
}

void OriginWatch::learn(const Resolved& resolved) {
    const bool good = !resolved.addresses.empty();
    ++(good ? figures_.resolves_ok : figures_.resolves_failed);
    figures_.resolve.observe(resolved.seconds);
    if (resolved.error != resolve_error_) {
        // One line when it begins to fail, one when it works again, none in between.
        if (resolved.error.empty())
            account::log_info("resolved", {{"origin", name_}, {"host", host_}});
        else
            account::log_warning(
                "resolve_failed",
                {{"origin", name_}, {"host", host_}, {"error", resolved.error}, {"kept", list_of(known_.addresses)}});
        resolve_error_ = resolved.error;
    }
    if (!good) {
        if (!known_.addresses.empty()) return;  // the old addresses are kept, and probes judge them
        note_failure();
        around_.isolation.silent(name_);
        if (around_.isolation.isolated()) return;
        return apply({}, [&] { return monitor_.on_resolve_failed(around_.loop.now()); });
    }
    if ((resolved.dropped == 0) != (dropped_ == 0))
        account::log_event(
            resolved.dropped == 0 ? account::LogLevel::info : account::LogLevel::warning, "addresses_dropped",
            {{"origin", name_}, {"host", host_}, {"used", resolved.addresses.size()}, {"dropped", resolved.dropped}});
    dropped_ = resolved.dropped;
    use(resolved);
}

/// The addresses of a good answer, or of the half of one that came first.
void OriginWatch::use(const Resolved& resolved) {
    known_.resolved_at = around_.loop.now();
    if (resolved.addresses == known_.addresses) return;
    account::log_info(
        "addresses",
        {{"origin", name_}, {"addresses", list_of(resolved.addresses)}, {"was", list_of(known_.addresses)}});
    ++figures_.address_changes;
    set_addresses(resolved.addresses);
}

void OriginWatch::set_addresses(const std::vector<geo::Address>& addresses) {
    // What needs memory comes first: without it nothing has changed yet, and the next resolve tries again.
    std::vector<std::unique_ptr<AddressWatch>> next;
    std::vector<std::unique_ptr<AddressWatch>*> known;  // by place in `next`; null: there is none
    std::vector<std::string> texts;
    for (const auto& address : addresses) {
        const shared::Endpoint endpoint = endpoint_of(address, port_);
        texts.push_back(endpoint.text);
        const auto found = std::find_if(addresses_.begin(), addresses_.end(),
                                        [&](const auto& watch) { return watch->endpoint.text == endpoint.text; });
        known.push_back(found != addresses_.end() ? &*found : nullptr);
        next.push_back(known.back() ? nullptr : std::make_unique<AddressWatch>(around_.loop, endpoint));
    }
    for (std::size_t i = 0; i < next.size(); ++i)
        if (known[i]) next[i] = std::move(*known[i]);
    addresses_ = std::move(next);
    load_->rows.retain(texts);
    apply({}, [&] {
        monitor_.set_addresses(texts, around_.loop.now());
        return true;  // a new list is published whatever the verdict
    });
    for (const auto& address : addresses_) {
        if (!address->task.done()) continue;  // it is probed already
        address->task = loop::keep(
            around_.loop, [this, &probed = *address] { return keep_probing(probed); },
            shared::noting(around_.registry, account::Duty::probe));
        address->task.start();
    }
    known_.addresses = addresses;
}

loop::Task<> OriginWatch::keep_probing(AddressWatch& address) {
    address.due = around_.loop.now();  // a new address is probed at once
    for (;;) {
        address.timer.expires_at(address.due);
        while (around_.loop.now() < address.due) co_await address.wake.wait();
        const bool first = !address.probed;
        address.began = around_.loop.now();
        address.due = TimePoint::max();
        const auto plan = plan_;
        auto outcome = co_await address.prober.probe(plan);
        if (plan != plan_) outcome.result.checks = {};  // numbered by another configuration
        learn(address, outcome);
        address.dice = around_.dice();
        address.due = next_probe(address);
        // Edges that start together, or see a new address together, must not probe in step from then on.
        if (first && !monitor_.schedule_state(address.endpoint.text).changing)
            address.due = std::max(around_.loop.now() + loop::milliseconds{1},
                                   address.began + health::first_delay(intervals_, around_.dice()));
    }
}

TimePoint OriginWatch::next_probe(const AddressWatch& address) const {
    health::State state = monitor_.schedule_state(address.endpoint.text);
    state.changing |= around_.isolation.isolated();  // the first answer ends it
    state.changing |= failback_.returning() && state.verdict != health::Verdict::down;
    return health::next_probe(intervals_, state, address.began, around_.loop.now(), address.dice);
}

void OriginWatch::end_isolation(loop::Clock::duration lasted) {
    failback_.stand_still(lasted);
    // Soon, but not all in the same instant.
    const auto spread = std::chrono::duration<double, std::milli>{intervals_.transitional};
    for (const auto& address : addresses_) {
        if (!address || address->due == TimePoint::max() || !address->probed) continue;
        const auto due =
            around_.loop.now() + std::chrono::duration_cast<loop::Clock::duration>(spread * around_.dice());
        if (due >= address->due) continue;
        address->due = due;
        address->timer.expires_at(due);
    }
}

void OriginWatch::probe_now() noexcept {
    const auto now = around_.loop.now();
    for (const auto& address : addresses_) {
        if (!address || address->due <= now || address->due == TimePoint::max()) continue;
        address->due = now;
        address->timer.expires_at(now);
    }
}

void OriginWatch::hurry() noexcept {
    for (const auto& address : addresses_) {
        if (!address || address->due == TimePoint::max() || !address->probed) continue;  // being probed, or about to be
        const auto due = next_probe(*address);
        if (due >= address->due) continue;
        address->due = due;
        address->timer.expires_at(due);
    }
}

void OriginWatch::learn(AddressWatch& address, const ProbeOutcome& outcome) {
    const bool failed_before = address.probed && !address.last.result.passed;
    address.last = outcome;
    address.probed = true;
    const auto& phases = outcome.phases;
    ++figures_.probes[static_cast<std::size_t>(outcome.result.reason)];
    if (phases.connect >= 0) figures_.connect.observe(phases.connect);
    if (phases.tls >= 0) figures_.tls.observe(phases.tls);
    if (phases.first_byte >= 0) figures_.first_byte.observe(phases.first_byte);
    if (outcome.result.reason == health::Reason::none) return;
    if (!outcome.result.passed) note_failure();
    if (const auto sign = health::sign_of(outcome.result.reason); sign == health::Sign::answered) {
        around_.isolation.answered(name_, around_.loop.now(), around_.loop.now());
    } else if (phases.connect >= 0) {  // whatever came then
        const auto connected = outcome.result.began + std::chrono::duration_cast<loop::Clock::duration>(
                                                          std::chrono::duration<double>{phases.connect});
        around_.isolation.answered(name_, connected, connected);
    } else if (sign == health::Sign::silent) {
        around_.isolation.silent(name_);
    }
    if (!outcome.result.passed && around_.isolation.is_ours(outcome.result.began)) return;
    if (outcome.agent != health::Agent::none)
        apply({}, [&] { return monitor_.on_agent(outcome.agent, agent_expiry_, around_.loop.now()); });

    const std::string& text = address.endpoint.text;
    const auto now = around_.loop.now();
    if (outcome.result.passed) load_->tell_probe_passed(outcome.result.began);
    // One SYN may get lost: where no more was sent, the second probe in a row tells.
    // Of the way that requests go: another port may be behind another rule of a firewall.
    const bool is_lost =
        outcome.path_lost || (failed_before && outcome.result.reason == health::Reason::connect_timeout);
    if (is_lost && plan_->port == 0) load_->lost.note(text, outcome.result.began);
    if (phases.connect >= 0) monitor_.on_rtt(text, phases.connect * 1000, now);
    if (!outcome.result.passed)
        account::log_debug(
            "probe",
            {{"origin", name_},
             {"address", text},
             {"reason", health::reason_text(outcome.result.reason, outcome.result.status, outcome.result.certificate)},
             {"detail", outcome.detail}});
    warn_of_checks(outcome, text);
    outage_.on_probe(outcome.result.passed, now);
    failback_.on_probe(outcome.result.passed, now);
    apply(text, [&] { return monitor_.on_probe(text, outcome.result, now); });
}

}  // namespace nearhop::control
