#pragma once

#include "conf/edge.h"
#include "conf/secret.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// The configuration of origins: how the edge reaches, probes and judges them, and how requests move between them.
namespace nearhop::conf {

inline constexpr std::size_t most_origins = 4'096;    ///< in all
inline constexpr std::size_t most_site_origins = 64;  ///< of one site: a set of them is one word

/// TLS to an origin; its CA file is Origin::ca.
struct OriginTls {
    TlsVersion min_version = TlsVersion::tls1_2;
    At<std::string> ciphers;      ///< OpenSSL list for TLS 1.2; empty: OpenSSL's own
    At<std::string> certificate;  ///< PEM file, for an origin that asks for one; empty: none
    At<std::string> private_key;  ///< PEM file
    /// SNI and verified name: "origin" (the URL's host), "host" (the Host of the request) or a name.
    At<std::string> server_name{"origin"};
};

/// A field that the edge writes into requests.
struct HeaderField {
    std::string name;
    Secret value;
};

/// What the edge does to the fields of requests to one origin; a name counts with '_' for '-' too.
struct OriginHeaders {
    std::vector<HeaderField> set;      ///< replace what a client sent
    std::vector<std::string> removed;  ///< removed from requests
};

/// Which requests need a part that an origin depends on, and so move when its check fails.
enum class Need { note, degraded, writes, paths, down };

/// A named check in the JSON of an origin's health body.
struct Check {
    std::string name;
    Need need = Need::note;
    std::vector<std::string> paths;                   ///< Need::paths only: "/files/*" or "/one"
    std::vector<std::pair<std::string, double>> max;  ///< numbers that the check must have, and their bounds
};

/// How the edge probes one origin.
struct Probe {
    std::string path = "/health";                                     ///< origin-form target, starts with '/'
    std::string host;                                                 ///< Host field; empty: as requests have it
    unsigned port = 0;                                                ///< 0: the origin URL's
    std::vector<HeaderField> headers;                                 ///< beside OriginHeaders::set
    std::vector<std::pair<unsigned, unsigned>> statuses{{200, 299}};  ///< inclusive ranges that pass
    std::string body_contains;                                        ///< text that the body must contain; empty: any
    milliseconds interval = 5s;               ///< between the starts of two probes, 100 ms .. 1 h
    milliseconds interval_transitional = 1s;  ///< the same while a verdict is changing
    milliseconds interval_down = 5s;          ///< the same while down
    unsigned jitter = 20;                     ///< percent of the interval, 0 .. 50
    At<milliseconds> timeout{2s};             ///< whole probe
    milliseconds connect_timeout = 1s;
    unsigned fall = 3;                     ///< failures that take an up origin down, 1 .. 100
    unsigned rise = 3;                     ///< successes in a row that bring it back, 1 .. 100
    std::uint64_t body_limit = 64 * 1024;  ///< bytes of the body that the edge reads
    std::vector<Check> checks;             ///< at most 16
    std::string expect_region;             ///< `region` of a JSON body; empty: the origin's; "off": not compared
    std::string agent_header = "off";      ///< field in which the origin reports about itself; "off": ignored
    milliseconds agent_expiry = 15s;       ///< how long a report holds if it is not repeated, 1 s .. 1 h
};

/// Passive health: failures of live traffic.
struct Passive {
    bool enabled = true;
    unsigned connect_failures = 3;  ///< connect, TLS, reset before the head: in a row
    unsigned status_failures = 5;   ///< 502/503/504 and head timeouts: in a row
    unsigned ratio_percent = 50;    ///< or this share ...
    unsigned ratio_minimum = 20;    ///< ... of at least this many ...
    seconds ratio_window = 10s;     ///< ... in this window
    milliseconds ejection = 5s;     ///< as long as the outage so far, at least this
    milliseconds ejection_max = 300s;
    milliseconds stall = 200ms;  ///< least age of waiting requests before their silence counts; 0: never
};

struct OriginUrl {
    bool tls = true;
    std::string host;  ///< lower case; IPv6 without brackets
    std::uint16_t port = 443;
};

struct Origin {
    std::string name;
    At<OriginUrl> url;
    At<std::string> region;  ///< a cloud region; empty: the origin's name, if it is a region
    std::optional<std::pair<double, double>> coordinates;  ///< latitude, longitude; overrides region
    At<std::string> ca;                                    ///< PEM file that verifies this origin; empty: the system's
    OriginTls tls;
    OriginHeaders headers;
    std::optional<bool> via;      ///< Via on requests; empty: as the site
    bool proxy_protocol = false;  ///< new connections begin with a PROXY header, version 2
    int bias = 0;                 ///< percent by which distance shrinks (Route 53), -99 .. 99
    unsigned weight = 1;          ///< among origins within the latency band, 0 .. 1000
    unsigned capacity = 0;        ///< requests in flight from this edge, 0: unlimited
    Probe health;
    Passive passive;
    std::optional<At<milliseconds>>
        rto_target;  ///< its own, else the top-level one: `check` refuses a slower configuration
    Mark mark{};

    bool follows_host() const { return url->tls && *tls.server_name == "host"; }
    /// SNI and verified name; if it follows the Host, the name for requests without a Host.
    const std::string& server_name() const {
        return *tls.server_name == "origin" || *tls.server_name == "host" ? url->host : *tls.server_name;
    }
};

struct Failover {
    bool enabled = true;
    unsigned connect_candidates = 3;    ///< origins tried while nothing was sent, 1 .. 3
    unsigned sent_candidates = 2;       ///< origins tried after request bytes were sent, 1 .. 3
    milliseconds connect_timeout = 1s;  ///< TCP, per attempt
    milliseconds tls_timeout = 2s;      ///< connect and TLS together, per attempt
    milliseconds second_address_after = 300ms;
    unsigned budget_percent = 20;  ///< what each request adds, in percent of one token
    unsigned budget_minimum = 20;  ///< least capacity of the bucket
    milliseconds backoff = 25ms;
    milliseconds backoff_max = 250ms;
    unsigned queue = 100;                   ///< requests that may wait for one origin at its capacity
    milliseconds queue_time = 1s;           ///< how long each waits
    At<unsigned> idempotency_keys{65'536};  ///< kept with the origin that they are pinned to; read at start
    seconds idempotency_expiry = 1h;        ///< since the last request with the key
};

/// How an origin that was out gets its clients back: first none (hold), then a growing share (ramp).
struct Failback {
    milliseconds hold_min = 5s;     ///< 0 s .. 1 h, at most `hold`
    milliseconds hold = 120s;       ///< as long as the outage, at most this; 0 s .. 1 h
    milliseconds ramp = 60s;        ///< half as long, at most this; 0 s .. 1 h
    milliseconds hold_max = 600s;   ///< for an origin that keeps failing
    milliseconds half_life = 300s;  ///< of what each further outage adds to the hold
    unsigned error_percent = 5;     ///< failures among its answers at which the share stops growing
};

}  // namespace nearhop::conf
