#pragma once

#include "conf/config.h"
#include "health/table.h"
#include "proxy/control/origin_watch.h"
#include "proxy/control/override_watch.h"
#include "proxy/control/resolver.h"
#include "proxy/shared/snapshot.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace nearhop::control {

/// The watches of all origins, by identity, and the resolver that they share. Origins of a configuration that have no
/// watch yet (before the first follow()) are unknown and have no addresses.
class OriginWatches {
public:
    explicit OriginWatches(OriginWatch::Surroundings around) : around_{std::move(around)} {}

    /// The resolver that these settings need; null: the present one will do. Throws std::runtime_error.
    std::unique_ptr<Resolver> other_resolver(const conf::Dns& dns) const;
    /// Watches for the origins of another configuration: known identities go on, new ones start, others end. `other`
    /// replaces the resolver unless it is null. `figures` outlive us, by origin name.
    void follow(const shared::Routing& routing, std::unique_ptr<Resolver> other,
                std::map<std::string, OriginFigures>& figures);
    void apply(const OverrideWatch& orders, const shared::Routing& routing);

    /// Of an origin of any configuration; null: it has no watch, or no longer has one.
    OriginWatch* find(const shared::OriginInfo& origin) const;
    /// Of the configuration that was followed last.
    OriginWatch* find(geo::OriginId id) const noexcept { return id < by_id_.size() ? by_id_[id] : nullptr; }
    OriginWatch* find(const std::string& name) const noexcept;
    void on_tick();
    bool decided() const;  ///< every one of them

    /// The edge is cut off: what that did to origins is taken back. The names where it was anything.
    std::vector<std::string> begin_isolation(const shared::Routing& routing);
    void end_isolation(const shared::Routing& routing, loop::Clock::duration lasted);

    // As to be published, by OriginId.
    std::vector<health::OriginHealth> health(const shared::Routing& routing);
    shared::Addresses addresses(const shared::Routing& routing);

    /// What has changed since it was last asked for; empty: nothing has. `published` is of the configuration that was
    /// followed last. Looks at origins that announced a change, and with `all` at everyone: round trips and shares move
    /// by themselves.
    std::optional<std::vector<health::OriginHealth>> changed_health(const std::vector<health::OriginHealth>& published,
                                                                    bool all);
    std::optional<shared::Addresses> changed_addresses(const shared::Addresses& published, bool all);

private:
    OriginWatch::Surroundings around_;
    conf::Dns resolver_settings_;
    std::unique_ptr<Resolver> resolver_;
    std::vector<OriginWatch*> by_id_;  ///< of `watches_`
    std::unordered_map<std::string, OriginWatch*> by_name_;
    std::map<std::string, std::unique_ptr<OriginWatch>> watches_;  // last: they use all of the above
};

// True when nobody would decide otherwise by `right`.
bool same(const health::OriginHealth& left, const health::OriginHealth& right);
bool same(const std::vector<shared::Endpoint>& left, const std::vector<shared::Endpoint>& right);

}  // namespace nearhop::control
