#pragma once

#include "conf/config.h"
#include "geo/locator.h"
#include "geo/ranking.h"
#include "health/verdict.h"
#include "proxy/steering/origin_set.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

/// The routing table: what `decide` reads. Built from a Config when a snapshot is built, immutable afterwards.
namespace nearhop::steering {

using SiteId = std::uint16_t;
using RouteId = std::uint16_t;

/// RFC 9110 section 9.2: the promise of a method. Decides which requests may be repeated and which count as writes.
enum class MethodClass : std::uint8_t { safe, idempotent, unsafe };
MethodClass method_class(std::string_view method) noexcept;

/// The ordered origins for one row of the `country` policy, or for clients without a known place.
struct CountryOrder {
    std::vector<Position> listed;
    bool only = false;             ///< true: other origins are forbidden; false: they follow by distance
    bool nearest_to_edge = false;  ///< by this edge's round trips instead of a list; `unlocated` only
};

struct RouteTable {
    std::string path_prefix;
    std::string decoded_prefix;        ///< its reading by an origin: read_path()
    std::vector<std::string> methods;  ///< empty: any
    OriginSet allowed;                 ///< pins; equals the site's members when the route has none
    conf::ExchangeLimits limits;
    std::vector<std::string> upgrades;  ///< protocols that a connection may switch to; lower case
};

struct SiteTable {
    std::string name;
    conf::Policy policy = conf::Policy::nearest;
    conf::AllDown all_down = conf::AllDown::open;
    conf::Hedge hedge;
    std::vector<OriginId> origins;             ///< by Position, as configured: the failover order
    OriginSet members;                         ///< all of them
    OriginSet writers;                         ///< origins that take unsafe methods; by default all members
    geo::Ranking nearest;                      ///< of the members
    std::vector<CountryOrder> rows;            ///< policy country
    std::vector<std::int16_t> row_of_country;  ///< by geo::Country::index(): index into rows, -1: none
    std::int16_t row_of_continent[7] = {-1, -1, -1, -1, -1, -1, -1};
    std::int16_t default_row = -1;
    std::optional<CountryOrder> unlocated;
    std::vector<RouteTable> routes;  ///< longest prefix first, then configuration order; the last one matches all
    bool routes_by_path = false;     ///< a path decides between them
    std::string host_header;         ///< "client", "origin", "server_name" or a name
    bool normalize_path = false;
    conf::EncodedSlashes encoded_slashes = conf::EncodedSlashes::refuse;
    bool refuses_untrusted = false;  ///< refuses requests of untrusted peers
    bool decision_header = false;
    bool server_timing = false;
    bool via = true;
    bool via_header = false;
    conf::InterimResponses interim_responses = conf::InterimResponses::http2;

    /// Empty: the origin is none of the site's.
    std::optional<Position> position_of(OriginId id) const noexcept;
};

/// The route for a request. `decoded`: `path` went through read_path() with decoding.
RouteId route_of(const SiteTable& site, std::string_view method, std::string_view path, bool decoded) noexcept;

/// Hashes std::string and std::string_view alike, so that a lookup by view copies nothing.
struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};
using HostMap = std::unordered_map<std::string, SiteId, TextHash, std::equal_to<>>;

/// What steering knows about an origin.
struct OriginTable {
    std::string name;
    std::string region;         ///< empty when unknown
    std::string host;           ///< of the origin's URL
    std::string server_name;    ///< SNI and the name that its certificate must carry
    bool follows_host = false;  ///< the server name is the Host of the request instead
    std::optional<geo::Point> point;
    unsigned weight = 1;
    std::vector<conf::Check> checks;  ///< health::OriginHealth::failing counts in this
};

/// Whether a request with this method and path needs one of the origin's `failing` checks. No allocation.
bool needs_failing(const OriginTable& origin, health::CheckSet failing, std::string_view method,
                   std::string_view path) noexcept;

struct Table {
    std::vector<OriginTable> origins;              ///< by OriginId, in configuration order
    std::vector<SiteTable> sites;                  ///< by SiteId
    std::vector<std::vector<OriginId>> overrides;  ///< ordered origins of geo.overrides, by index; may be empty

    /// The site for a host name in any case, with or without port and trailing dot: exact, then the longest wildcard,
    /// then the default site; nullopt when there is no default. No allocation.
    std::optional<SiteId> site_of(std::string_view host) const noexcept;

    HostMap exact;      ///< lower case, IPv6 literals without brackets
    HostMap wildcards;  ///< "*.example.com" under ".example.com"
    std::optional<SiteId> default_site;
};

/// Builds the table; problems of meaning (unknown region, no coordinates under nearest or latency, ...) are added to
/// `problems` with the configuration's own marks. Null when one of them is an error.
std::shared_ptr<const Table> build_table(const conf::Config& config, conf::Problems& problems);

}  // namespace nearhop::steering
