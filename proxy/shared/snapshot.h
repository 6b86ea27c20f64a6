#pragma once

#include "conf/config.h"
#include "geo/locator.h"
#include "health/table.h"
#include "proxy/shared/file_stamp.h"
#include "proxy/steering/locate.h"
#include "proxy/steering/table.h"
#include "proxy/wire/server_tls.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <vector>

namespace nearhop::shared {

/// One address of an origin, ready for connect().
struct Endpoint {
    sockaddr_storage address{};
    socklen_t size = 0;
    std::string text;   ///< "192.0.2.1:443", the key of its verdict
    bool down = false;  ///< by its own probes: tried only if every address of the origin is down
};

/// Addresses by OriginId, in the order to try them. An origin without any has an empty list.
struct Addresses {
    std::vector<std::vector<Endpoint>> by_origin;
};

/// What one listener requires of its clients. A session keeps the rules of its accept and finds the present ones by
/// their key: a reload may renumber listeners.
struct ListenerRules {
    std::string key;                                      ///< the listener's identity over reloads
    geo::CidrTable proxy_protocol;                        ///< peers that must send a PROXY header
    std::shared_ptr<const wire::ClientRule> client_rule;  ///< where the site has none; never null
};

/// An origin as the relay needs it.
struct OriginInfo {
    std::string name;
    std::string identity;  ///< name + URL + health settings: verdicts and pools live on under it
    bool tls = true;
    std::string host;  ///< the host to dial
    bool host_is_address = false;
    std::uint16_t port = 443;
    std::string host_field;         ///< Host value under host_header: origin (with a port unless the default one)
    std::string server_name;        ///< SNI and verified name; if it follows the Host, for requests without one
    std::string server_name_field;  ///< Host value under host_header: server_name
    bool follows_host = false;      ///< the server name is the Host of the request
    std::string probe_host;         ///< Host value of probes unless health.host says otherwise; empty: host_field
    conf::OriginHeaders headers;
    std::string header_lines;             ///< of what `headers` sets
    std::vector<std::string> own_fields;  ///< names in `headers`: the edge removes a client's fields of these names
    std::optional<bool> via;              ///< Via on requests; empty: as the site
    bool proxy_protocol = false;          ///< connections begin with a PROXY header
    std::shared_ptr<ssl_ctx_st> context;  ///< null for plain origins
    std::string region;                   ///< as configured, or the name if it is a known one; empty: none
    std::string agent_header;             ///< field in which the origin reports about itself; empty: ignored
    std::string tls_digest;               ///< wire::OriginTls: what `context` was made of
};

/// The configuration's part of a snapshot: an exchange keeps the one that it began with.
struct Routing {
    conf::Config config;
    std::shared_ptr<const steering::Table> table;
    std::vector<OriginInfo> origins;                                         ///< by OriginId
    std::vector<std::shared_ptr<const ListenerRules>> listeners;             ///< in the configuration's order
    std::vector<std::shared_ptr<const wire::ClientRule>> site_client_rules;  ///< by SiteId; null: as the listener
    std::vector<std::string> identity_headers;  ///< field names that only the edge may send to origins
    std::uint64_t config_generation = 0;        ///< counts successful loads, 1 at start

    /// Null: the listener is gone.
    const ListenerRules* present(const ListenerRules& met) const noexcept {
        for (const auto& each : listeners)
            if (each.get() == &met || each->key == met.key) return each.get();
        return nullptr;
    }
    /// The rules for a connection through a listener; of a listener that has just gone, its last rules.
    const ListenerRules& rules_of(const ListenerRules& met) const noexcept {
        const auto* now = present(met);
        return now ? *now : met;
    }
    /// The rule under which a connection through a listener may serve a site. If the listener has gone, its rule holds
    /// as long as another listener has the same.
    wire::ClientRule::Id client_rule(const ListenerRules& met, steering::SiteId site) const noexcept {
        if (const auto& rule = site_client_rules[site]) return rule->id();
        if (const auto* now = present(met)) return now->client_rule->id();
        for (const auto& each : listeners)
            if (each->client_rule->id() == met.client_rule->id()) return met.client_rule->id();
        return {};
    }
};

/// The networks that entries of clients.trusted took from one file.
struct TrustedRanges {
    std::string file, service;
    std::vector<geo::Cidr> networks;
    FileStamp read_at = FileStamp::of_none();  ///< the file's stamp then
};

/// All data for a worker's decisions. Never modified after publication; it has shared parts, so that a verdict or DNS
/// change copies pointers only.
struct Snapshot {
    std::uint64_t generation = 0;
    std::shared_ptr<const Routing> routing;
    std::shared_ptr<const geo::Locator> locator;
    std::shared_ptr<const steering::Trust> trust = std::make_shared<const steering::Trust>();
    std::shared_ptr<const std::vector<TrustedRanges>>
        trusted_ranges;  ///< the part of `trust` that comes from files; may be null
    std::shared_ptr<const health::Table> health;
    std::shared_ptr<const Addresses> addresses;
    std::shared_ptr<const wire::ServerTls> server_tls;  ///< null without https listeners
    std::shared_ptr<const wire::ServerTls> admin_tls;   ///< null: the admin listener speaks plain HTTP
    bool isolated = false;                              ///< this edge is cut off: verdicts freeze (health::Isolation)
    bool ready = false;                                 ///< /readyz and ready_path: first round done, not shutting down
};

/// The control thread publishes here, and workers read. A mutex and a counter, not std::atomic<std::shared_ptr>: in
/// libstdc++ 12 that takes a lock, and ThreadSanitizer reports a race in it. Readers lock once per change, not per
/// request.
class Board {
public:
    void publish(std::shared_ptr<const Snapshot> snapshot) {
        const std::lock_guard lock{mutex_};
        latest_ = std::move(snapshot);
        generation_.store(latest_->generation, std::memory_order_release);
    }
    std::shared_ptr<const Snapshot> latest() const {
        const std::lock_guard lock{mutex_};
        return latest_;
    }
    std::uint64_t generation() const noexcept { return generation_.load(std::memory_order_acquire); }

private:
    mutable std::mutex mutex_;
    std::shared_ptr<const Snapshot> latest_;
    std::atomic<std::uint64_t> generation_{0};
};

/// One thread's view of the board. Copy the pointer before a wait; do not keep the reference across one.
class View {
public:
    explicit View(const Board& board) : board_{board} {}
    const std::shared_ptr<const Snapshot>& get() {
        if (!held_ || board_.generation() != held_->generation) held_ = board_.latest();
        return held_;
    }

private:
    const Board& board_;
    std::shared_ptr<const Snapshot> held_;
};

}  // namespace nearhop::shared
