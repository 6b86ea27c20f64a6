#include "proxy/simulate/network.h"

#include "conf/syntax.h"

#include <algorithm>

namespace nearhop::simulate {

using Code = account::Fault;
using Hits = Fault::Hits;

Network::Network(const Scenario& scenario, Events& events, Random& random)
    : scenario_{scenario}, events_{events}, random_{random} {
    for (const auto& origin : scenario.origins) places_.emplace_back(origin.addresses);
}

void Network::start(Changed changed, ControlChanged control) {
    changed_ = std::move(changed);
    control_changed_ = std::move(control);
    for (const Event& event : scenario_.events)
        events_.at(origin_of_time + event.at, [this, &event] { apply(event, true, ++generation_); });
}

void Network::apply(const Event& event, bool on, std::uint64_t generation) {
    bool ours = false;
    if (event.control && control_.changes <= generation) {
        ours = true;
        control_ = {on ? event.fault : Fault{}, generation};
        control_changed_(control_.fault);
    }
    for (const geo::OriginId origin : event.origins) {
        auto& addresses = places_[origin];
        for (unsigned address = 0; address < addresses.size(); ++address) {
            if (event.address != 0 && event.address != address + 1) continue;
            auto& place = addresses[address];
            if (place.changes > generation) continue;
            ours = true;
            place.changes = generation;
            place.fault = on ? event.fault : Fault{};
            changed_(origin, address, place.fault);
        }
    }
    if (ours && event.every > milliseconds::zero())
        events_.after(event.every, [this, &event, on, generation] { apply(event, !on, generation); });
}

Fault Network::fault(geo::OriginId origin, unsigned address, Hits who) const {
    const auto& fault = places_[origin][address].fault;
    return fault.hits == Hits::all || fault.hits == who ? fault : Fault{};
}

microseconds Network::trip(geo::OriginId origin, unsigned address, Hits who) {
    const auto& model = scenario_.origins[origin];
    microseconds length = model.rtt;
    const auto here = fault(origin, address, who);
    if (here.trouble == Trouble::latency) length += here.delay;
    // The sum of two dice: most round trips are near the mean.
    const double spread = (random_.fraction() + random_.fraction() - 1) * model.noise / 100.0;
    return microseconds{static_cast<microseconds::rep>(static_cast<double>(length.count()) * (1 + spread))};
}

Network::Try Network::dial_address(geo::OriginId origin, unsigned address, microseconds begins,
                                   const conf::Failover& limits) {
    const auto one_trip = trip(origin, address, Hits::requests);
    const microseconds connect_limit = limits.connect_timeout;
    switch (fault(origin, address, Hits::requests).trouble) {
        case Trouble::refused: return {begins + std::min(one_trip, connect_limit), Code::origin_refused};
        case Trouble::unreachable: return {begins + std::min(one_trip, connect_limit), Code::origin_unreachable};
        case Trouble::blackhole: return {begins + connect_limit, Code::origin_connect_timeout};
        case Trouble::hang:
            if (tls(origin)) return {begins + limits.tls_timeout, Code::origin_tls_timeout};
            break;
        default: break;
    }
    if (one_trip > connect_limit) return {begins + connect_limit, Code::origin_connect_timeout};
    const auto ready = tls(origin) ? one_trip + trip(origin, address, Hits::requests) : one_trip;
    if (ready > limits.tls_timeout && tls(origin)) return {begins + limits.tls_timeout, Code::origin_tls_timeout};
    return {begins + ready, Code::none};
}

Network::Dialled Network::dial(geo::OriginId origin, const std::vector<bool>& down, unsigned turn,
                               const conf::Failover& limits) {
    const auto count = static_cast<unsigned>(places_[origin].size());
    std::vector<unsigned> order;
    for (const bool wanted : {false, true})
        for (unsigned i = 0; i < count && order.size() < 2; ++i)
            if (const unsigned address = (turn + i) % count; down[address] == wanted) order.push_back(address);

    const Try first = dial_address(origin, order[0], {}, limits);
    const microseconds patience = limits.second_address_after;
    Dialled dialled{first.fault, first.ends, order[0], {}};
    if (first.fault != Code::none) dialled.failures.push_back({order[0], first.fault});
    const bool early = first.ends <= patience;
    if (order.size() < 2 || (early && first.fault == Code::none)) return dialled;

    const Try second = dial_address(origin, order[1], early ? first.ends : patience, limits);
    const bool second_is_better = second.fault == Code::none && (first.fault != Code::none || second.ends < first.ends);
    if (second_is_better) {
        // What the first one came to is known only if that was before.
        if (first.ends > second.ends) dialled.failures.clear();
        return {Code::none, second.ends, order[1], std::move(dialled.failures)};
    }
    if (first.fault == Code::none) {
        if (second.fault != Code::none && second.ends < first.ends) dialled.failures = {{order[1], second.fault}};
        return dialled;
    }
    dialled.failures.push_back({order[1], second.fault});
    if (second.ends >= first.ends) {
        dialled.took = second.ends;
        dialled.fault = second.fault;
    }
    return dialled;
}

Network::Answer Network::answer(geo::OriginId origin, unsigned address, Hits who) {
    const auto one_trip = trip(origin, address, who);
    const auto here = fault(origin, address, who);
    Answer answer{Answer::Kind::head, one_trip + microseconds{scenario_.origins[origin].answer}, 200};
    switch (here.trouble) {
        case Trouble::refused:
        case Trouble::reset: return {Answer::Kind::reset, one_trip, 0};
        case Trouble::unreachable:
        case Trouble::blackhole:
        case Trouble::hang: return {Answer::Kind::silence, {}, 0};
        case Trouble::errors:
            if (random_.happens(here.share)) answer = {Answer::Kind::head, one_trip, 503};
            return answer;
        case Trouble::slow:
            if (random_.happens(here.share)) answer.after += here.delay;
            return answer;
        case Trouble::none:
        case Trouble::latency: break;
    }
    return answer;
}

std::string describe(const Fault& fault) {
    constexpr std::string_view names[] = {"none", "refused", "unreachable", "blackhole", "reset",
                                          "hang", "errors",  "slow",        "latency"};
    std::string text{names[static_cast<std::size_t>(fault.trouble)]};
    if (fault.trouble == Trouble::errors || fault.trouble == Trouble::slow)
        text += " share=" + std::to_string(fault.share) + '%';
    if (fault.delay > milliseconds::zero()) text += " delay=" + conf::to_string(fault.delay);
    if (fault.hits != Hits::all) text += fault.hits == Hits::probes ? " hits=probes" : " hits=requests";
    return text;
}

}  // namespace nearhop::simulate
