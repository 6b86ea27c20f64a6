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
    return combine(now);
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
    const bool combined = combine(now);
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

void OriginMonitor::set_thresholds(const Thresholds& thresholds) {
    thresholds_ = thresholds;
    origin_.set_thresholds(thresholds);
    for (auto& address : addresses_) address.machine.set_thresholds(thresholds);
}

State OriginMonitor::state() const noexcept {
    State state = origin_.state();
    for (const auto& address : addresses_) state.changing |= address.machine.state().changing;
    return state;
}

State OriginMonitor::address_state(std::string_view text) const noexcept {
    const auto* address = find(text);
    return address ? address->machine.state() : State{};
}

State OriginMonitor::schedule_state(std::string_view text) const noexcept {
    State state = address_state(text);
    state.changing |= origin_.state().ejected && state.verdict != Verdict::down;
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
    return {state(), measured > 0 ? sum / measured : -1};
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

}  // namespace nearhop::health
