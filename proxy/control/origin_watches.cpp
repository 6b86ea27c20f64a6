#include "proxy/control/origin_watches.h"

#include <algorithm>

namespace nearhop::control {

std::unique_ptr<Resolver> OriginWatches::other_resolver(const conf::Dns& dns) const {
    const auto same_server = [](const auto& a, const auto& b) { return *a == *b; };
    const bool needed = !resolver_ || dns.timeout != resolver_settings_.timeout ||
                        dns.addresses != resolver_settings_.addresses ||
                        !std::equal(dns.servers.begin(), dns.servers.end(), resolver_settings_.servers.begin(),
                                    resolver_settings_.servers.end(), same_server);
    return needed ? std::make_unique<Resolver>(around_.loop, dns) : nullptr;
}

void OriginWatches::follow(const shared::Routing& routing, std::unique_ptr<Resolver> other,
                           std::map<std::string, OriginFigures>& figures) {
    const auto& dns = routing.config.dns;
    // The old one stays as long as a watch resolves with it.
    std::unique_ptr<Resolver> old;
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
    by_id_.clear();  // of watches that may go now
    by_name_.clear();
    watches_ = std::move(next);
    for (std::size_t i = 0; i < routing.origins.size(); ++i)
        watches_[routing.origins[i].identity]->configure(routing.origins[i], routing.config.origins[i],
                                                         routing.config.failback, dns, *resolver_);
    for (const auto& origin : routing.origins) {
        by_id_.push_back(watches_[origin.identity].get());
        by_name_[origin.name] = by_id_.back();
    }
}

void OriginWatches::apply(const OverrideWatch& orders, const shared::Routing& routing) {
    for (const auto& origin : routing.origins) {
        auto* watch = find(origin);
        const auto* order = orders.find(origin.name);
        if (watch) watch->set_override(order ? order->order : health::Override::none);
    }
}

OriginWatch* OriginWatches::find(const shared::OriginInfo& origin) const {
    const auto found = watches_.find(origin.identity);
    return found == watches_.end() ? nullptr : found->second.get();
}

OriginWatch* OriginWatches::find(const std::string& name) const noexcept {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
}

void OriginWatches::on_tick() {
    for (const auto& [identity, watch] : watches_) watch->on_tick();
}

bool OriginWatches::decided() const {
    return std::all_of(watches_.begin(), watches_.end(), [](const auto& watch) { return watch.second->decided(); });
}

std::vector<std::string> OriginWatches::begin_isolation(const shared::Routing& routing) {
    std::vector<std::string> taken_back;
    for (const auto& origin : routing.origins)
        if (auto* watch = find(origin); watch && watch->begin_isolation()) taken_back.push_back(origin.name);
    return taken_back;
}

void OriginWatches::end_isolation(const shared::Routing& routing, loop::Clock::duration lasted) {
    for (const auto& origin : routing.origins)
        if (auto* watch = find(origin)) watch->end_isolation(lasted);
}

std::vector<health::OriginHealth> OriginWatches::health(const shared::Routing& routing) {
    std::vector<health::OriginHealth> health;
    health.reserve(routing.origins.size());
    for (const auto& origin : routing.origins) {
        auto* watch = find(origin);
        health.push_back(watch ? watch->health() : health::OriginHealth{});
        if (watch) watch->health_is_news = false;
    }
    return health;
}

shared::Addresses OriginWatches::addresses(const shared::Routing& routing) {
    shared::Addresses addresses;
    addresses.by_origin.reserve(routing.origins.size());
    for (const auto& origin : routing.origins) {
        auto* watch = find(origin);
        addresses.by_origin.push_back(watch ? watch->endpoints() : std::vector<shared::Endpoint>{});
        if (watch) watch->addresses_are_news = false;
    }
    return addresses;
}

std::optional<std::vector<health::OriginHealth>> OriginWatches::changed_health(
    const std::vector<health::OriginHealth>& published, bool all) {
    std::optional<std::vector<health::OriginHealth>> changed;
    if (published.size() != by_id_.size()) changed.emplace(by_id_.size());  // before the first round
    for (std::size_t id = 0; id < by_id_.size(); ++id) {
        OriginWatch& watch = *by_id_[id];
        if (!watch.health_is_news && !all) continue;
        const auto now = watch.health();
        if (!same(now, changed ? (*changed)[id] : published[id])) {
            if (!changed) changed = published;
            (*changed)[id] = now;
        }
        watch.health_is_news = false;
    }
    return changed;
}

std::optional<shared::Addresses> OriginWatches::changed_addresses(const shared::Addresses& published, bool all) {
    std::optional<shared::Addresses> changed;
    if (published.by_origin.size() != by_id_.size()) changed.emplace().by_origin.resize(by_id_.size());
    for (std::size_t id = 0; id < by_id_.size(); ++id) {
        OriginWatch& watch = *by_id_[id];
        if (!watch.addresses_are_news && !all) continue;
        auto now = watch.endpoints();
        if (!same(now, changed ? changed->by_origin[id] : published.by_origin[id])) {
            if (!changed) changed = published;
            changed->by_origin[id] = std::move(now);
        }
        watch.addresses_are_news = false;
    }
    return changed;
}

bool same(const health::OriginHealth& left, const health::OriginHealth& right) {
    // `changing` is for the schedule of probes only: nobody decides by it.
    health::State state = left.state;
    state.changing = right.state.changing;
    return state == right.state && left.rtt_ms == right.rtt_ms && left.failing == right.failing &&
           left.share == right.share;
}

bool same(const std::vector<shared::Endpoint>& left, const std::vector<shared::Endpoint>& right) {
    return std::equal(
        left.begin(), left.end(), right.begin(), right.end(),
        [](const shared::Endpoint& a, const shared::Endpoint& b) { return a.text == b.text && a.down == b.down; });
}

}  // namespace nearhop::control
