#pragma once

#include "conf/edge.h"
#include "conf/origin.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

/// The configuration as plain values: sites and their routes here, the edge (edge.h) and its origins (origin.h) beside
/// it. Final after parse(): no later pass fills in defaults. docs/configuration.md has each default with its reason.
namespace nearhop::conf {

enum class Policy { nearest, country, failover, latency };
enum class AllDown { open, closed };     ///< try in policy order anyway, or 503 with Retry-After
enum class Unserved { error, warning };  ///< how to report that no origin may serve some request

enum class InterimResponses { http2, all, none };  ///< which clients get 1xx other than 100 and 101

enum class EncodedSlashes { refuse, keep, decode };  ///< %2F, %5C and backslashes under normalize_path

/// Limits of one exchange that a site or a route may set.
struct ExchangeLimits {
    milliseconds head_timeout = 10s;          ///< per attempt, from the last request byte sent
    At<milliseconds> deadline{25s};           ///< to the response head, over all attempts
    std::uint64_t replay_buffer = 64 * 1024;  ///< request body kept for a second attempt, <= 1 MiB
    std::uint64_t body_limit = 0;             ///< request body bytes, 0: unlimited
    milliseconds tunnel_idle = 300s;          ///< after an upgrade: no byte moved either way
    milliseconds origin_body_timeout = 60s;   ///< response body without progress
};

/// When a request also goes to a second origin, although the first may still answer.
struct Hedge {
    enum class Kind { off, after, p95 };
    Kind kind = Kind::off;
    milliseconds after{0};  ///< kind after
    bool operator==(const Hedge&) const = default;
};

/// A count per time; a count of 0 means no limit.
struct Rate {
    unsigned count = 0;
    seconds per = 1s;
    bool operator==(const Rate&) const = default;
};

/// Token buckets for requests; above the rate the edge answers 429 with Retry-After.
struct RateLimit {
    Rate address;  ///< of one client address, or one IPv6 /64, at one site
    unsigned address_burst = 0;
    Rate site;  ///< of a site as a whole
    unsigned site_burst = 0;
};

/// A path/method rule inside a site; the longest prefix that matches wins, then configuration order.
struct Route {
    std::string path_prefix = "/";
    std::vector<std::string> methods;      ///< upper case; empty: any
    std::vector<At<std::string>> origins;  ///< pins: only these may serve; empty: the site's
    std::vector<std::string> upgrades;     ///< inherits the site's
    ExchangeLimits limits;                 ///< inherits the site's
    Mark mark{};
};

/// One row of a `country` policy: its clients and their ordered origins.
struct CountryRow {
    At<std::string> key;  ///< "DE", a group's name, "continent:EU" or "default"
    std::vector<At<std::string>> origins;
    bool only = false;  ///< true: other origins are forbidden; false: they follow by distance
};

/// Where clients without a known place go.
struct Unlocated {
    std::vector<At<std::string>> origins;  ///< first, in this order; empty: nearest_to_edge
    bool only = false;                     ///< as in a CountryRow
    bool nearest_to_edge = false;          ///< by the edge's round trips; false: the other origins follow by the policy
    Mark mark{};
};

struct Site {
    std::string name;
    std::vector<At<std::string>> hosts;  ///< lower case, "*.example.com" allowed
    bool is_default = false;
    std::vector<At<std::string>> origins;  ///< by name, in failover order
    Policy policy = Policy::nearest;
    std::vector<CountryRow> countries;                       ///< policy country
    std::map<std::string, std::vector<std::string>> groups;  ///< own groups of countries; eu and eea are built in
    std::optional<Unlocated> unlocated;                      ///< empty: by the policy and its default row
    std::vector<At<std::string>> writes;                     ///< origins that take unsafe methods; empty: all
    std::string host_header = "client";                      ///< "client", "origin", "server_name" or a literal name
    AllDown all_down = AllDown::open;
    Unserved unserved = Unserved::error;
    Hedge hedge;                                     ///< GET and HEAD only
    std::vector<std::string> upgrades{"websocket"};  ///< protocols that a connection may switch to (RFC 9110 7.8)
    std::vector<Route> routes;
    ExchangeLimits limits;
    std::optional<At<ClientCertificates>> client_certificates;  ///< empty: as the listener
    At<std::string> client_ca;                                  ///< empty: tls.client_ca
    Untrusted untrusted = Untrusted::serve;
    RateLimit rate_limit;
    bool decision_header = false;  ///< X-Nearhop-Decision on responses
    bool server_timing = false;    ///< Server-Timing on responses
    bool via = true;               ///< Via on requests, unless the origin says otherwise
    bool via_header = false;       ///< Via on responses
    InterimResponses interim_responses = InterimResponses::http2;
    bool normalize_path = false;  ///< route by the normal form of a path, and forward it
    EncodedSlashes encoded_slashes = EncodedSlashes::refuse;
    Mark mark{};
};

struct Config {
    std::string file;         ///< for messages
    At<unsigned> workers{0};  ///< 0: one per core; read at start
    std::vector<Listener> listeners;
    Tls tls;
    Clients clients;
    Geo geo;
    std::vector<Origin> origins;  ///< in configuration order
    std::vector<Site> sites;      ///< at least one after parse()
    RateLimit rate_limit;         ///< of every site without its own
    Failover failover;
    Failback failback;
    Isolation isolation;
    Limits limits;
    Http2 http2;
    Dns dns;
    Admin admin;
    Log log;
    Shutdown shutdown;
    bool server_timing = false;
};

}  // namespace nearhop::conf
