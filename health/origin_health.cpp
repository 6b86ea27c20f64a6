#include "health/origin_health.h"

#include <algorithm>
#include <utility>

namespace nearhop::health {

bool OriginMonitor::set_addresses(const std::vector<std::string>& addresses, TimePoint now) {
    if (addresses.empty()) return false;
    // Down without any address was down for want of DNS, and that is over.
    const Verdict inherited = addresses_.empty() ? Verdict::unknown : origin_.state().verdict;
    std::vector<Address> next;
    next.reserve(addresses.size());
    for (const auto& text : addresses) {
        const auto same = [&](const Address& address) { return address.text == text; };
        if (std::any_of(next.begin(), next.end(), same)) continue;
        if (auto* known = find(text)) {
            next.push_back(*known);
        } else {
            next.push_back({text, Machine{thresholds_}, Latency{}, inherited});
        }
    }
    addresses_ = std::move(next);
    const bool checks = combine_checks(now);
    return combine(now) || checks;
}

bool OriginMonitor::on_resolve_failed(TimePoint now) {
    if (!addresses_.empty()) return false;
    State why;
    why.reason = Reason::resolve_failed;
    return origin_.set_verdict(Verdict::down, why, now);
}

bool OriginMonitor::on_probe(std::string_view text, const ProbeResult& result, TimePoint now) {
    auto* address = find(text);
    if (!address) return false;
    const bool was_down = address->machine.state().verdict == Verdict::down;
    const bool address_changed = address->machine.on_probe(result, now);
    if (result.checks.read)
        for (std::size_t i = 0; i < check_names_.size(); ++i)
            address->checks[i].observe(result.checks.of[i], thresholds_);
    const bool checks = combine_checks(now);
    const bool combined = combine(now) || checks;
    const bool returned = (result.passed || !was_down) && origin_.on_recovery(result.passed, result.began, now);
    return address_changed || combined || returned;
}

bool OriginMonitor::on_passive(std::string_view text, Passive result, Reason reason, TimePoint now, double dice) {
    const bool address_changed = on_dial(text, result, reason, now, dice);
    return origin_.on_passive(result, reason, now, dice) || address_changed;
}

bool OriginMonitor::on_dial(std::string_view text, Passive result, Reason reason, TimePoint now, double dice) {
    auto* address = find(text);
    return address && address->machine.on_passive(result, reason, now, dice);
}

bool OriginMonitor::on_traffic(std::uint64_t successes, std::uint64_t failures, TimePoint now, double dice) {
    return origin_.on_traffic(successes, failures, now, dice);
}

void OriginMonitor::on_rtt(std::string_view text, double milliseconds_rtt, TimePoint now) {
    if (auto* address = find(text)) address->latency.add(milliseconds_rtt, now);
}

bool OriginMonitor::CheckCount::observe(Finding finding, const Thresholds& thresholds) noexcept {
    last = finding;
    const bool passed = finding != Finding::fail;
    if (!known) {
        known = true;
        failing = !passed;
        return failing;
    }
    if (!results.turns(!failing, passed, thresholds.fall, thresholds.rise)) return false;
    failing = !failing;
    return true;
}

void OriginMonitor::set_checks(const std::vector<conf::Check>& checks, TimePoint now) {
    std::vector<std::string> names;
    degrading_ = 0;
    for (const auto& check : checks) {
        if (names.size() == most_checks) break;
        if (check.need == conf::Need::degraded) degrading_ |= static_cast<CheckSet>(1u << names.size());
        names.push_back(check.name);
    }
    if (names != check_names_) {
        const auto moved = [&](const auto& states) {
            auto next = std::decay_t<decltype(states)>{};
            for (std::size_t i = 0; i < names.size(); ++i) {
                const auto known = std::find(check_names_.begin(), check_names_.end(), names[i]);
                if (known != check_names_.end())
                    next[i] = states[static_cast<std::size_t>(known - check_names_.begin())];
            }
            return next;
        };
        for (auto& address : addresses_) address.checks = moved(address.checks);
        check_since_ = moved(check_since_);
        std::array<bool, most_checks> failed{};
        for (std::size_t i = 0; i < most_checks; ++i) failed[i] = (failing_ >> i & 1u) != 0;
        failed = moved(failed);
        failing_ = 0;
        for (std::size_t i = 0; i < most_checks; ++i)
            if (failed[i]) failing_ |= static_cast<CheckSet>(1u << i);
        check_names_ = std::move(names);
    }
    combine_checks(now);
}

bool OriginMonitor::on_agent(Agent word, milliseconds expiry, TimePoint now) {
    if (word == Agent::none) return false;
    const Agent next = word == Agent::up ? Agent::none : word;
    agent_until_ = now + expiry;
    if (next == agent_) return false;
    agent_ = next;
    agent_since_ = now;
    return true;
}

bool OriginMonitor::on_time(TimePoint now) {
    return agent_ != Agent::none && now >= agent_until_ && on_agent(Agent::up, milliseconds{0}, now);
}

bool OriginMonitor::set_override(Override order, TimePoint now) {
    if (order == order_) return false;
    order_ = order;
    order_since_ = now;
    return true;
}

void OriginMonitor::set_thresholds(const Thresholds& thresholds) {
    thresholds_ = thresholds;
    origin_.set_thresholds(thresholds);
    for (auto& address : addresses_) address.machine.set_thresholds(thresholds);
}

bool OriginMonitor::take_back(const OriginMonitor& before, TimePoint now) {
    const State was = state();
    origin_ = before.origin_;
    for (auto& address : addresses_) {
        address.inherited = origin_.state().verdict;
        if (const auto* known = before.find(address.text)) address.machine = known->machine;
    }
    set_thresholds(thresholds_);
    const bool checks = combine_checks(now);
    return combine(now) || checks || state() != was;
}

State OriginMonitor::state() const noexcept {
    State state = origin_.state();
    for (const auto& address : addresses_) state.changing |= address.machine.state().changing || counting(address);
    const auto overlay = [&state](Verdict verdict, Reason reason) {
        state.verdict = verdict;
        state.reason = reason;
        state.status = 0;
        state.certificate = CertificateProblem::none;
    };
    const CheckSet degrading = failing_ & degrading_;
    for (std::size_t i = 0; i < check_names_.size(); ++i)
        if ((degrading_ >> i & 1u) != 0) state.since = std::max(state.since, check_since_[i]);
    if (state.verdict == Verdict::up && degrading != 0) overlay(Verdict::degraded, Reason::check_failed);

    state.agent = agent_;
    state.since = std::max({state.since, agent_since_, order_since_});
    if (agent_ == Agent::degraded && state.verdict == Verdict::up) overlay(Verdict::degraded, Reason::agent_degraded);
    if (agent_ == Agent::drain && state.verdict != Verdict::down && !state.ejected)
        overlay(state.verdict, Reason::agent_drain);

    state.order = order_;
    if (order_ == Override::force_up) {
        overlay(Verdict::up, Reason::operator_force_up);
        state.ejected = state.on_trial = false;
        state.ejected_for = Reason::none;
        state.agent = Agent::none;
    }
    if (order_ == Override::force_down) overlay(Verdict::down, Reason::operator_force_down);
    state.draining = order_ == Override::drain;
    if (state.draining) overlay(state.verdict, Reason::operator_drain);
    return state;
}

CheckState OriginMonitor::check(std::size_t number) const noexcept {
    CheckState state{(failing_ >> number & 1u) != 0, Finding::missing, check_since_[number]};
    for (const auto& address : addresses_)
        if (address.machine.state().verdict != Verdict::down || addresses_.size() == 1)
            state.last = std::max(state.last, address.checks[number].last);
    return state;
}

State OriginMonitor::address_state(std::string_view text) const noexcept {
    const auto* address = find(text);
    return address ? address->machine.state() : State{};
}

State OriginMonitor::schedule_state(std::string_view text) const noexcept {
    State state = address_state(text);
    const auto* address = find(text);
    state.changing |= (origin_.state().ejected || (address && counting(*address))) && state.verdict != Verdict::down;
    return state;
}

bool OriginMonitor::decided() const noexcept {
    if (addresses_.empty()) return origin_.state().verdict != Verdict::unknown;
    return std::all_of(addresses_.begin(), addresses_.end(),
                       [](const Address& address) { return address.machine.state().verdict != Verdict::unknown; });
}

OriginHealth OriginMonitor::health(TimePoint now) const noexcept {
    double sum = 0;
    int measured = 0;
    for (const auto& address : addresses_) {
        const auto mean = address.latency.mean(now);
        if (!mean || address.machine.state().verdict == Verdict::down) continue;
        sum += *mean;
        ++measured;
    }
    return {state(), measured > 0 ? sum / measured : -1, failing_};
}

OriginMonitor::Address* OriginMonitor::find(std::string_view text) noexcept {
    return const_cast<Address*>(std::as_const(*this).find(text));
}

const OriginMonitor::Address* OriginMonitor::find(std::string_view text) const noexcept {
    const auto found = std::find_if(addresses_.begin(), addresses_.end(),
                                    [&](const Address& address) { return address.text == text; });
    return found == addresses_.end() ? nullptr : &*found;
}

/// The origin's verdict from its addresses; its reason is that of the address whose state changed last to that verdict.
bool OriginMonitor::combine(TimePoint now) {
    Combine combined;
    for (const auto& address : addresses_) combined.add(address.counts_as());
    State why;
    for (const auto& address : addresses_) {
        const State& state = address.machine.state();
        if (state.verdict == combined.verdict() && state.verdict != Verdict::unknown && state.since >= why.since)
            why = state;
    }
    return origin_.set_verdict(combined.verdict(), why, now);
}

/// A check fails for the origin when it does at any address that may serve: requests are sent to all of these, and no
/// ranking knows which one a request will meet.
bool OriginMonitor::combine_checks(TimePoint now) {
    CheckSet failing = 0;
    const bool none = std::all_of(addresses_.begin(), addresses_.end(),
                                  [](const Address& address) { return address.counts_as() == Verdict::down; });
    for (const auto& address : addresses_)
        for (std::size_t i = 0; i < check_names_.size(); ++i)
            if (address.checks[i].failing && (none || address.counts_as() != Verdict::down))
                failing |= static_cast<CheckSet>(1u << i);
    const auto changed = static_cast<CheckSet>(failing ^ failing_);
    if (changed == 0) return false;
    failing_ = failing;
    for (std::size_t i = 0; i < most_checks; ++i)
        if ((changed >> i & 1u) != 0) check_since_[i] = now;
    return true;
}

bool OriginMonitor::counting(const Address& address) const noexcept {
    for (std::size_t i = 0; i < check_names_.size(); ++i)
        if (address.checks[i].results.counting(!address.checks[i].failing)) return true;
    return false;
}

}  // namespace nearhop::health
