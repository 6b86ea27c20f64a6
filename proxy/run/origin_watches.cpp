#include "proxy/run/origin_watches.h"

#include <algorithm>

namespace nearhop::run {

std::unique_ptr<origin::Resolver> OriginWatches::other_resolver(const conf::Dns& dns) const {
    const auto same_server = [](const auto& a, const auto& b) { return *a == *b; };
    const bool needed = !resolver_ || dns.timeout != resolver_settings_.timeout ||
                        dns.addresses != resolver_settings_.addresses ||
                        !std::equal(dns.servers.begin(), dns.servers.end(), resolver_settings_.servers.begin(),
                                    resolver_settings_.servers.end(), same_server);
    return needed ? std::make_unique<origin::Resolver>(around_.loop, dns) : nullptr;
}

void OriginWatches::follow(const Routing& routing, std::unique_ptr<origin::Resolver> other,
                           std::map<std::string, OriginFigures>& figures) {
    const auto& dns = routing.config.dns;
    // The old one stays as long as a watch resolves with it.
    std::unique_ptr<origin::Resolver> old;
    if (other) old = std::exchange(resolver_, std::move(other));
    resolver_settings_ = dns;
    // The addresses of a name hold for the next watch that asks for it: an origin that only has a new health check
    // would otherwise have no address until DNS answers, if it does.
    std::map<std::string, OriginWatch::Known> by_host;
    for (const auto& [identity, watch] : watches_)
        if (!watch->known().addresses.empty()) by_host.emplace(watch->host(), watch->known());
    std::map<std::string, std::unique_ptr<OriginWatch>> next;
    for (std::size_t i = 0; i < routing.origins.size(); ++i) {
        const auto& info = routing.origins[i];
        const auto& origin = routing.config.origins[i];
        auto& watch = next[info.identity];
        if (const auto known = watches_.find(info.identity); known != watches_.end())
            watch = std::move(known->second);
        else
            watch = std::make_unique<OriginWatch>(around_, figures[info.name], origin.passive, origin.health,
                                                  by_host[info.host]);
    }
    watches_ = std::move(next);
    for (std::size_t i = 0; i < routing.origins.size(); ++i)
        watches_[routing.origins[i].identity]->configure(routing.origins[i], routing.config.origins[i],
                                                         routing.config.failback, dns, *resolver_);
}

void OriginWatches::apply(const OverrideWatch& orders, const Routing& routing) {
    for (const auto& origin : routing.origins) {
        auto* watch = find(origin);
        const auto* order = orders.find(origin.name);
        if (watch) watch->set_override(order ? order->order : health::Override::none);
    }
}

OriginWatch* OriginWatches::find(const OriginInfo& origin) const {
    const auto found = watches_.find(origin.identity);
    return found == watches_.end() ? nullptr : found->second.get();
}

void OriginWatches::on_tick() {
    for (const auto& [identity, watch] : watches_) watch->on_tick();
}

bool OriginWatches::decided() const {
    return std::all_of(watches_.begin(), watches_.end(), [](const auto& watch) { return watch.second->decided(); });
}

std::vector<std::string> OriginWatches::begin_isolation(const Routing& routing) {
    std::vector<std::string> taken_back;
    for (const auto& origin : routing.origins)
        if (auto* watch = find(origin); watch && watch->begin_isolation()) taken_back.push_back(origin.name);
    return taken_back;
}

void OriginWatches::end_isolation(const Routing& routing, loop::Clock::duration lasted) {
    for (const auto& origin : routing.origins)
        if (auto* watch = find(origin)) watch->end_isolation(lasted);
}

std::vector<health::OriginHealth> OriginWatches::health(const Routing& routing) const {
    std::vector<health::OriginHealth> health;
    for (const auto& origin : routing.origins) {
        auto* watch = find(origin);
        health.push_back(watch ? watch->health() : health::OriginHealth{});
    }
    return health;
}

Addresses OriginWatches::addresses(const Routing& routing) const {
    Addresses addresses;
    for (const auto& origin : routing.origins) {
        const auto* watch = find(origin);
        addresses.by_origin.push_back(watch ? watch->endpoints() : std::vector<Endpoint>{});
    }
    return addresses;
}

bool same(const std::vector<health::OriginHealth>& left, const std::vector<health::OriginHealth>& right) {
    return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                      [](const health::OriginHealth& a, const health::OriginHealth& b) {
                          // `changing` is for the schedule of probes only: nobody decides by it.
                          health::State state = a.state;
                          state.changing = b.state.changing;
                          return state == b.state && a.rtt_ms == b.rtt_ms && a.failing == b.failing &&
                                 a.share == b.share;
                      });
}

bool same(const Addresses& left, const Addresses& right) {
    const auto same_endpoint = [](const Endpoint& a, const Endpoint& b) {
        return a.text == b.text && a.down == b.down;
    };
    return std::equal(left.by_origin.begin(), left.by_origin.end(), right.by_origin.begin(), right.by_origin.end(),
                      [&](const auto& a, const auto& b) {
                          return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_endpoint);
                      });
}

}  // namespace nearhop::run
