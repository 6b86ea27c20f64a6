#include "health/describe.h"
#include "proxy/account/logging.h"
#include "proxy/control/origin_watch.h"

#include <algorithm>
#include <cmath>
#include <utility>

/// What becomes of an origin by what its watch learnt: its verdict, its return, what is published, logged and shown.
namespace nearhop::control {
namespace {

constexpr double rtt_step_ms = 1;  ///< smaller moves of the round trip are not worth a new snapshot

std::string_view name(conf::Need need) noexcept {
    switch (need) {
        case conf::Need::note: return "note";
        case conf::Need::degraded: return "degraded";
        case conf::Need::writes: return "writes";
        case conf::Need::paths: return "paths";
        case conf::Need::down: return "down";
    }
    return "?";
}

}  // namespace

void OriginWatch::note_failure() {
    if (around_.isolation.is_on() && !around_.isolation.isolated())
        before_.note(monitor_, failback_, around_.isolation.guard().last_answer(), around_.loop.now());
}

bool OriginWatch::begin_isolation() {
    const auto now = around_.loop.now();
    const auto was = monitor_.state();
    before_.take_back(monitor_, failback_, around_.isolation.guard().last_answer(), now);
    outage_.forget();
    hurry();
    const auto is = monitor_.state();
    if (was.verdict != is.verdict) ++figures_.changes[static_cast<std::size_t>(is.verdict)];
    return was.verdict != is.verdict || was.ejected != is.ejected;
}

/// One line when an origin begins to wait for its clients, one when it gets the first and one when it has all.
void OriginWatch::look_at_return(std::uint64_t answers, std::uint64_t failures) {
    const auto state = monitor_.state();
    if (state.verdict == health::Verdict::unknown || around_.isolation.isolated()) return;
    const auto now = around_.loop.now();
    if (state.order == health::Override::force_up) failback_.pardon();  // the operator wants its traffic now
    const bool held = failback_.holding();
    const bool grew = failback_.ramping();
    failback_.look(state, answers, failures, now);
    if (failback_.holding()) monitor_.put_off_trial(now);
    if (failback_.holding() && !held) {
        const auto held_ms = std::chrono::duration_cast<loop::milliseconds>(failback_.hold_until() - now).count();
        account::log_info("failback",
                          {{"origin", name_}, {"state", "held"}, {"for_ms", static_cast<std::uint64_t>(held_ms)}});
    }
    if (failback_.ramping() && !grew) account::log_info("failback", {{"origin", name_}, {"state", "returning"}});
    const bool everyone = failback_.share() == health::Failback::everyone;
    if ((held || grew) && everyone && state.eligible())
        account::log_info("failback", {{"origin", name_}, {"state", "back"}});
    const auto ended = outage_.look(state, everyone && state.eligible() && !state.on_trial, now);
    const auto seconds = [](auto time) { return std::chrono::duration<double>{time}.count(); };
    if (ended.detection) figures_.detection.observe(seconds(*ended.detection));
    if (ended.recovery) figures_.recovery.observe(seconds(*ended.recovery));
}

bool OriginWatch::set_override(health::Override order) {
    const auto before = monitor_.state().verdict;
    if (!monitor_.set_override(order, around_.loop.now())) return false;
    const auto after = monitor_.state().verdict;
    if (before != after) ++figures_.changes[static_cast<std::size_t>(after)];
    look_at_return(0, 0);
    hurry();
    announce();
    return true;
}

health::OriginHealth OriginWatch::health() {
    auto health = monitor_.health(around_.loop.now());
    // What was measured grows old while the edge is cut off; the order of origins stays.
    const bool moved = !around_.isolation.isolated() &&
                       ((health.rtt_ms < 0) != (shown_rtt_ < 0) || std::abs(health.rtt_ms - shown_rtt_) > rtt_step_ms);
    if (moved) shown_rtt_ = health.rtt_ms;
    health.rtt_ms = shown_rtt_;
    health.share = failback_.share();
    return health;
}

std::vector<shared::Endpoint> OriginWatch::endpoints() const {
    std::vector<shared::Endpoint> endpoints;
    for (const auto& address : addresses_) {
        endpoints.push_back(address->endpoint);
        endpoints.back().down = !monitor_.address_state(address->endpoint.text).eligible();
    }
    return endpoints;
}

OriginWatch::States OriginWatch::states(std::string_view address) const {
    return {monitor_.state(), monitor_.address_state(address)};
}

void OriginWatch::tell(std::string_view address, const States& was) {
    look_at_return(0, 0);

    log_checks(address);
    const States is = states(address);
    const auto level = [](const health::State& state) {
        return state.eligible() ? account::LogLevel::info : account::LogLevel::warning;
    };
    const auto moved = [](const health::State& left, const health::State& right) {
        return left.verdict != right.verdict || left.ejected != right.ejected || left.draining != right.draining ||
               left.agent != right.agent;
    };
    if (moved(was.origin, is.origin)) {
        const bool alone = addresses_.size() == 1;
        account::log_event(level(is.origin), "verdict",
                           health::describe(name_, was.origin, is.origin, alone ? address : std::string_view{}));
        if (was.origin.verdict != is.origin.verdict) ++figures_.changes[static_cast<std::size_t>(is.origin.verdict)];
        if (is.origin.ejected && !was.origin.ejected) ++figures_.ejections;
    }
    if (!address.empty() && (addresses_.size() > 1 || !moved(was.origin, is.origin)) && moved(was.address, is.address))
        account::log_event(level(is.address), "address_verdict",
                           health::describe(name_, was.address, is.address, address));
    announce();
}

void OriginWatch::log_checks(std::string_view address) {
    const auto before = std::exchange(logged_, monitor_.failing());
    for (std::size_t i = 0; i < checks_.size(); ++i) {
        const auto state = monitor_.check(i);
        if (state.failing == ((before >> i & 1u) != 0)) continue;
        account::log_event(state.failing ? account::LogLevel::warning : account::LogLevel::info, "check",
                           {{"origin", name_},
                            {"check", checks_[i].name},
                            {"failing", state.failing},
                            {"needs", name(checks_[i].need)},
                            {"address", address.empty() ? "-" : address}});
    }
}

/// What is configured and can move nothing, because no body tells of it: one line for each configuration.
void OriginWatch::warn_of_checks(const ProbeOutcome& outcome, std::string_view address) {
    if (outcome.unread) {
        if (std::exchange(told_unread_, true)) return;
        return account::log_warning("health_body_unread",
                                    {{"origin", name_}, {"address", address}, {"what", outcome.detail}});
    }
    if (!outcome.result.checks.read) return;
    const auto missing = missing_.look(outcome.result.checks, checks_.size(), plan_->how.rise);
    for (std::size_t i = 0; i < checks_.size(); ++i)
        if ((missing >> i & 1u) != 0)
            account::log_warning("check_missing", {{"origin", name_},
                                                   {"check", checks_[i].name},
                                                   {"what", "no health body has had it so far: it moves no request"}});
}

Control::Status::Origin OriginWatch::status() const {
    const auto now = around_.loop.now();
    Control::Status::Origin status;
    status.name = name_;
    status.state = monitor_.state();
    status.rtt_ms = monitor_.health(now).rtt_ms;
    const auto& state = status.state;  // one that is out gets nobody, whatever it will get when it is back
    const bool is_out = state.ordered_out() || state.verdict == health::Verdict::down || state.ejected;
    status.share = is_out ? 0 : static_cast<double>(failback_.share()) / health::Failback::everyone;
    if (failback_.holding()) status.held_s = std::chrono::duration<double>(failback_.hold_until() - now).count();
    for (const auto& address : addresses_)
        status.addresses.push_back(
            {address->endpoint.text, monitor_.address_state(address->endpoint.text), address->probed, address->last});
    for (std::size_t i = 0; i < checks_.size(); ++i)
        status.checks.push_back({checks_[i].name, name(checks_[i].need), monitor_.check(i)});
    status.by_name = by_name_;
    if (known_.resolved_at != loop::TimePoint{})
        status.dns_age_s = std::chrono::duration<double>(now - known_.resolved_at).count();
    status.dns_ttl_s = static_cast<double>(known_.ttl.count());
    status.dns_dropped = dropped_;
    status.resolve_error = resolve_error_;
    return status;
}

}  // namespace nearhop::control
