#pragma once

#include "conf/config.h"
#include "health/table.h"
#include "proxy/origin/resolver.h"
#include "proxy/run/origin_watch.h"
#include "proxy/run/override_watch.h"
#include "proxy/snapshot.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace nearhop::run {

/// The watches of all origins, by identity, and the resolver that they share. Origins of a configuration that have no
/// watch yet (before the first follow()) are unknown and have no addresses.
class OriginWatches {
public:
    explicit OriginWatches(OriginWatch::Surroundings around) : around_{std::move(around)} {}

    /// The resolver that these settings need; null: the present one will do. Throws std::runtime_error.
    std::unique_ptr<origin::Resolver> other_resolver(const conf::Dns& dns) const;
    /// Watches for the origins of another configuration: known identities go on, new ones start, others end. `other`
    /// replaces the resolver unless it is null. `figures` outlive us, by origin name.
    void follow(const Routing& routing, std::unique_ptr<origin::Resolver> other,
                std::map<std::string, OriginFigures>& figures);
    void apply(const OverrideWatch& orders, const Routing& routing);

    OriginWatch* find(const OriginInfo& origin) const;
    void on_tick();
    bool decided() const;  ///< every one of them

    /// The edge is cut off: what that did to origins is taken back. The names where it was anything.
    std::vector<std::string> begin_isolation(const Routing& routing);
    void end_isolation(const Routing& routing, loop::Clock::duration lasted);

    // As to be published, by OriginId.
    std::vector<health::OriginHealth> health(const Routing& routing) const;
    Addresses addresses(const Routing& routing) const;

private:
    OriginWatch::Surroundings around_;
    conf::Dns resolver_settings_;
    std::unique_ptr<origin::Resolver> resolver_;
    std::map<std::string, std::unique_ptr<OriginWatch>> watches_;  // last: they use all of the above
};

// True when nobody would decide otherwise by `right`.
bool same(const std::vector<health::OriginHealth>& left, const std::vector<health::OriginHealth>& right);
bool same(const Addresses& left, const Addresses& right);

}  // namespace nearhop::run
