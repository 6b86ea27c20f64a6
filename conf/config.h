#pragma once

#include "conf/problem.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

/// What the operator wrote, as plain values. Final after parse(): no later "0 means default", no second copy.
/// Every default is the one in docs/configuration.md, where its reason stands.
namespace nearhop::conf {

using std::chrono::milliseconds;
using std::chrono::seconds;
using namespace std::chrono_literals;

/// A socket address to listen on: numeric address and port. Port 0 lets the kernel choose (tests).
struct ListenAddress {
    std::string address;  ///< "0.0.0.0", "::", "127.0.0.1"; IPv6 without brackets
    std::uint16_t port = 0;
};

enum class ListenerKind { https, http };
enum class PlainPolicy { redirect, serve };  ///< what an http listener does with a request

/// Whether a client has to show a certificate; one that is shown must be good either way.
enum class ClientCertificates { none, optional, required };

enum class TlsVersion { tls1_2, tls1_3 };

struct Listener {
    At<ListenAddress> address;
    ListenerKind kind = ListenerKind::https;
    PlainPolicy plain = PlainPolicy::redirect;  ///< http only: 308 to https, or serve as is
    /// Peers that must send a PROXY protocol header (v1 or v2); empty: none is read.
    std::vector<At<std::string>> proxy_protocol_from;
    At<ClientCertificates> client_certificates{ClientCertificates::none};  ///< unless the site says otherwise
    std::optional<TlsVersion> min_version;                                 ///< instead of tls.min_version
    At<std::string> ciphers;                                               ///< instead of tls.ciphers; empty: those
    std::string ready_path;  ///< answered by the edge itself (200 or 503) for load-balancer checks; empty: off
    bool http2 = true;       ///< https only: offered through ALPN beside HTTP/1.1
};

struct Certificate {
    At<std::string> certificate;  ///< PEM file, leaf first
    At<std::string> private_key;  ///< PEM file
    At<std::string> ocsp;         ///< DER file with the response to staple; empty: none
};

/// Fields in which origins get the verified identity of a client certificate; empty: not sent. A client that sends one
/// of them itself loses it.
struct ClientIdentity {
    std::string subject;      ///< RFC 2253
    std::string san;          ///< "DNS:a.example,URI:spiffe://b"
    std::string fingerprint;  ///< SHA-256 in hex
    std::string certificate;  ///< RFC 9440, base64 of DER between colons
};

struct Tls {
    std::vector<Certificate> certificates;  ///< chosen by SNI; the first is the default
    TlsVersion min_version = TlsVersion::tls1_2;
    At<std::string> ciphers;    ///< OpenSSL list for TLS 1.2; empty: Mozilla intermediate
    At<std::string> client_ca;  ///< PEM file: whose client certificates count, where a site has no own file
    ClientIdentity identity;
    At<std::string> ticket_keys;    ///< file of 80-byte keys shared by several edges; empty: random ones
    seconds ticket_rotation = 12h;  ///< of random keys, 1 s .. 1 week
};

/// How connections to an origin are secured; its CA file is Origin::ca.
struct OriginTls {
    TlsVersion min_version = TlsVersion::tls1_2;
    At<std::string> ciphers;      ///< OpenSSL list for TLS 1.2; empty: OpenSSL's own
    At<std::string> certificate;  ///< PEM file shown to the origin; empty: none
    At<std::string> private_key;  ///< PEM file
};

/// What a verified client certificate must be; every part that is given.
struct TrustedCertificate {
    std::string fingerprint;  ///< SHA-256 in lower-case hex; empty: any
    std::string san;          ///< one of its names, such as "DNS:cdn.example"; empty: any
    Mark mark{};              ///< line 0: no certificate is asked for
    bool given() const { return mark.line > 0; }
};

/// One way for a peer to be trusted: every part that is given must match.
struct TrustedPeer {
    std::optional<At<std::string>> cidr;
    At<std::string> ip_ranges;  ///< instead: AWS's ip-ranges.json, and in it the networks of ...
    At<std::string> service;
    TrustedCertificate certificate;
    std::string secret_header;  ///< field name; empty: not required
    std::string secret;         ///< compared in constant time; never logged, never forwarded
    Mark mark{};
};

/// What becomes of request fields whose name holds an underscore.
enum class Underscores { drop, keep, refuse };

struct Clients {
    std::vector<TrustedPeer> trusted;
    seconds watch = 60s;  ///< how often ip_ranges files are looked at, 1 s .. 1 day
    Underscores underscores = Underscores::drop;
    bool unsafe_trust_any_peer = false;  ///< needed for 0.0.0.0/0, ::/0 and an entry without cidr
};

/// The operator's word on where a network is: exactly one of country, point, origins is set.
struct GeoOverride {
    At<std::string> cidr;
    std::optional<At<std::string>> country;
    std::optional<std::pair<double, double>> point;  ///< latitude, longitude in degrees
    std::vector<At<std::string>> origins;            ///< ordered origin names
};

struct Geo {
    std::vector<At<std::string>> databases;  ///< .mmdb files, first hit wins; empty: the embedded country database
    std::vector<GeoOverride> overrides;
    seconds watch = 60s;  ///< how often the files are looked at, 1 s .. 1 day
};

/// What needs a part that an origin depends on, and so what moves away when its check fails.
enum class Need { note, degraded, writes, paths, down };

/// A named check in the JSON of an origin's health body.
struct Check {
    std::string name;
    Need need = Need::note;
    std::vector<std::string> paths;                   ///< Need::paths only: "/files/*" or "/one"
    std::vector<std::pair<std::string, double>> max;  ///< numbers that the check must tell, and their bounds
};

/// How one origin is probed.
struct Probe {
    std::string path = "/health";                                     ///< origin-form target, starts with '/'
    std::string host;                                                 ///< Host field; empty: the origin URL's host
    std::vector<std::pair<unsigned, unsigned>> statuses{{200, 299}};  ///< inclusive ranges that pass
    std::string body_contains;                ///< text that the body must hold; empty: not looked at
    milliseconds interval = 5s;               ///< between the starts of two probes, 100 ms .. 1 h
    milliseconds interval_transitional = 1s;  ///< the same while a verdict is changing
    milliseconds interval_down = 5s;          ///< the same while down
    unsigned jitter = 20;                     ///< percent of the interval, 0 .. 50
    At<milliseconds> timeout{2s};             ///< whole probe
    milliseconds connect_timeout = 1s;
    unsigned fall = 3;                     ///< failures that take an up origin down, 1 .. 100
    unsigned rise = 3;                     ///< successes in a row that bring it back, 1 .. 100
    std::uint64_t body_limit = 64 * 1024;  ///< bytes of the answer's body that are read
    std::vector<Check> checks;             ///< at most 16
    std::string expect_region;             ///< `region` of a JSON body; empty: the origin's; "off": not compared
    std::string agent_header = "off";      ///< field in which the origin speaks of itself; "off": none is believed
    milliseconds agent_expiry = 15s;       ///< how long its word holds when it is not repeated, 1 s .. 1 h
};

/// Passive health: what live traffic says.
struct Passive {
    bool enabled = true;
    unsigned connect_failures = 3;  ///< connect, TLS, reset before the head: in a row
    unsigned status_failures = 5;   ///< 502/503/504 and head timeouts: in a row
    unsigned ratio_percent = 50;    ///< or this share ...
    unsigned ratio_minimum = 20;    ///< ... of at least this many ...
    seconds ratio_window = 10s;     ///< ... in this window
    milliseconds ejection = 10s;    ///< times the number of ejections
    milliseconds ejection_max = 300s;
    milliseconds stall = 200ms;  ///< least age of requests that all wait in vain before it is a sign; 0: none
};

struct OriginUrl {
    bool tls = true;
    std::string host;  ///< lower case; IPv6 without brackets
    std::uint16_t port = 443;
};

struct Origin {
    std::string name;
    At<OriginUrl> url;
    At<std::string> region;                                ///< a known cloud region; empty: the name, if it is one
    std::optional<std::pair<double, double>> coordinates;  ///< latitude, longitude; wins over region
    At<std::string> ca;                                    ///< PEM file that verifies this origin; empty: the system's
    OriginTls tls;
    bool proxy_protocol = false;  ///< new connections begin with a PROXY header, version 2
    int bias = 0;                 ///< percent by which distance shrinks (Route 53), -99 .. 99
    unsigned weight = 1;          ///< among origins within the latency band, 0 .. 1000
    unsigned capacity = 0;        ///< requests in flight from this edge, 0: unlimited
    Probe health;
    Passive passive;
    std::optional<At<milliseconds>> rto_target;  ///< the top-level one or its own: `check` refuses what is slower
    Mark mark{};
};

enum class Policy { nearest, country, failover, latency };
enum class AllDown { open, closed };  ///< try in policy order all the same, or 503 with Retry-After

enum class EncodedSlashes { refuse, keep, decode };  ///< %2F, %5C and backslashes under normalize_path

/// Limits of one exchange that a site or a route may set.
struct ExchangeLimits {
    milliseconds head_timeout = 10s;          ///< per attempt, from the last request byte sent
    At<milliseconds> deadline{25s};           ///< to the response head, over all attempts
    std::uint64_t replay_buffer = 64 * 1024;  ///< request body kept for a second attempt, <= 1 MiB
    std::uint64_t body_limit = 0;             ///< request body bytes, 0: unlimited
    milliseconds tunnel_idle = 300s;          ///< after an upgrade: nothing moved either way
};

/// When a second origin is asked although the first may still answer.
struct Hedge {
    enum class Kind { off, after, p95 };
    Kind kind = Kind::off;
    milliseconds after{0};  ///< kind after
    bool operator==(const Hedge&) const = default;
};

/// So many in so much time; a count of 0 stands for no limit.
struct Rate {
    unsigned count = 0;
    seconds per = 1s;
    bool operator==(const Rate&) const = default;
};

/// How often requests may come, judged by token buckets; above it 429 with Retry-After.
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

/// One row of a `country` policy: who it is for and the ordered origins.
struct CountryRow {
    At<std::string> key;  ///< "DE", a group's name, "continent:EU" or "default"
    std::vector<At<std::string>> origins;
    bool only = false;  ///< origins not listed are forbidden; else they follow by nearest
};

struct Site {
    std::string name;
    std::vector<At<std::string>> hosts;  ///< lower case, "*.example.com" allowed
    bool is_default = false;
    std::vector<At<std::string>> origins;  ///< by name, in failover order
    Policy policy = Policy::nearest;
    std::vector<CountryRow> countries;                       ///< policy country
    std::map<std::string, std::vector<std::string>> groups;  ///< own groups of countries; eu and eea are built in
    std::vector<At<std::string>> writes;                     ///< origins that take unsafe methods; empty: all
    std::string host_header = "client";                      ///< "client", "origin" or a literal name
    AllDown all_down = AllDown::open;
    Hedge hedge;                                     ///< GET and HEAD only
    std::vector<std::string> upgrades{"websocket"};  ///< protocols that a connection may switch to (RFC 9110 7.8)
    std::vector<Route> routes;
    ExchangeLimits limits;
    std::optional<At<ClientCertificates>> client_certificates;  ///< empty: as the listener
    At<std::string> client_ca;                                  ///< empty: tls.client_ca
    RateLimit rate_limit;
    bool decision_header = false;  ///< X-Nearhop-Decision on responses
    bool server_timing = false;    ///< Server-Timing on responses
    bool via_header = false;       ///< Via on responses
    bool normalize_path = false;   ///< route by the normal form of a path and forward that
    EncodedSlashes encoded_slashes = EncodedSlashes::refuse;
    Mark mark{};
};

struct Failover {
    bool enabled = true;
    unsigned connect_candidates = 3;    ///< origins tried while nothing was sent, 1 .. 3
    unsigned sent_candidates = 2;       ///< origins tried after request bytes were sent, 1 .. 3
    milliseconds connect_timeout = 1s;  ///< TCP, per attempt
    milliseconds tls_timeout = 2s;      ///< connect and TLS together, per attempt
    milliseconds second_address_after = 300ms;
    unsigned budget_percent = 20;  ///< tokens that each request adds, in percent of one
    unsigned budget_minimum = 20;  ///< the bucket never holds less than this capacity
    milliseconds backoff = 25ms;
    milliseconds backoff_max = 250ms;
    unsigned queue = 100;                ///< requests that wait for one origin at its capacity
    milliseconds queue_time = 1s;        ///< how long each
    unsigned idempotency_keys = 65'536;  ///< that are remembered with the origin that they went to; read at start
    seconds idempotency_expiry = 1h;     ///< since the last request with the key
};

/// How an origin that was out gets its clients back: at first none, then a growing share of them.
struct Failback {
    milliseconds hold = 120s;       ///< 0 s .. 1 h
    milliseconds ramp = 60s;        ///< 0 s .. 1 h
    milliseconds hold_max = 600s;   ///< of an origin that keeps falling
    milliseconds half_life = 300s;  ///< of what each fall adds to its hold
    unsigned error_percent = 5;     ///< failures among its answers at which the share stops growing
};

/// Something beside the origins that answers as long as this edge is not cut off.
struct ControlTarget {
    enum class Kind { tcp, dns };
    Kind kind = Kind::tcp;
    ListenAddress address;  ///< numeric: a name would need the network that is in doubt
};

/// How the edge finds out that not its origins are gone but its own way out.
struct Isolation {
    std::vector<At<ControlTarget>> control;  ///< empty: it does not ask
    milliseconds interval = 5s;              ///< between two checks of a target, 100 ms .. 1 h
    milliseconds interval_failing = 1s;      ///< the same while an origin or a target is silent
    milliseconds timeout = 1s;               ///< of one check
};

struct Limits {
    std::uint64_t sessions = 0;              ///< 0: from the descriptor limit
    std::uint64_t sessions_per_address = 0;  ///< 0: unlimited
    std::uint64_t requests = 0;              ///< in flight; 0: from the descriptor limit
    std::uint64_t handshakes = 0;            ///< in progress; 0: unlimited
    unsigned handshakes_per_second = 0;      ///< 0: unlimited
    unsigned session_requests = 0;           ///< on one connection; 0: unlimited
    unsigned pipelined_requests = 100;       ///< in a row that came before the answer to the one before; 0: unlimited
    std::uint64_t memory = 0;                ///< of the process, resident; 0: from the machine
    std::uint64_t body_rate = 100;           ///< least bytes per second of a request body, 0: none
    std::uint64_t write_rate = 100;          ///< least bytes per second that a client reads, 0: none
    unsigned addresses = 65'536;             ///< that counts and token buckets are kept for; read at start
    std::uint64_t head_bytes = 32 * 1024;
    unsigned head_fields = 100;
    std::uint64_t target_bytes = 8 * 1024;
    milliseconds handshake_timeout = 10s;
    milliseconds head_timeout = 10s;
    milliseconds body_timeout = 30s;   ///< request body without progress
    milliseconds write_timeout = 60s;  ///< client not reading our answer
    milliseconds idle_timeout = 75s;
    milliseconds origin_body_timeout = 60s;
    std::uint64_t origin_head_bytes = 64 * 1024;
    unsigned origin_interim_responses = 8;
    std::uint64_t chunk_line_bytes = 256;
    std::uint64_t trailer_bytes = 8 * 1024;
    std::uint64_t replay_total = 64 * 1024 * 1024;
    std::uint64_t drain_bytes = 64 * 1024;  ///< unread request body after an answer
    milliseconds drain_time = 1s;
    unsigned origin_idle = 64;  ///< idle connections per worker and origin
    milliseconds origin_idle_timeout = 50s;
    milliseconds origin_age = 300s;
    unsigned origin_requests = 1000;  ///< per connection
};

/// HTTP/2 towards clients (RFC 9113), and what one connection may do before it is told ENHANCE_YOUR_CALM. A count and
/// its rate are a token bucket: the count at once, the rate per second afterwards.
struct Http2 {
    unsigned streams = 128;                         ///< open at a time
    std::uint64_t stream_window = 128 * 1024;       ///< bytes of one request body that wait for their origin
    std::uint64_t connection_window = 1024 * 1024;  ///< the same over all streams of a connection
    unsigned resets = 200;                          ///< streams that the client cancels, or makes us reset
    unsigned reset_rate = 20;                       ///< per second
    unsigned control_frames = 1000;                 ///< PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown ones
    unsigned control_rate = 100;                    ///< per second; requests and bodies that move add to it
    unsigned empty_frames = 100;       ///< DATA, HEADERS or CONTINUATION that carry nothing and end nothing
    unsigned empty_rate = 10;          ///< per second
    unsigned continuations = 8;        ///< CONTINUATION frames of one head
    unsigned settings = 32;            ///< entries of one SETTINGS frame
    std::uint64_t table_bytes = 4096;  ///< HPACK table, each direction
};

struct Dns {
    std::vector<At<std::string>> servers;  ///< "127.0.0.1:5353"; empty: the system's
    seconds min_ttl = 5s;
    seconds max_ttl = 60s;
    milliseconds timeout = 2s;
};

struct Admin {
    std::optional<At<ListenAddress>> listen;  ///< default 127.0.0.1:9180; `admin: off` disables
    std::string token;                        ///< for calls that change state; empty: they are refused
    std::vector<At<std::string>> allow;       ///< CIDRs; empty: loopback only
    At<std::string> state_file;               ///< operator overrides; empty: in $STATE_DIRECTORY, if there is one
};

enum class LogFormat { json, logfmt };

struct Log {
    std::string access = "stdout";  ///< "stdout", "off" or a file, reopened on SIGUSR1
    LogFormat format = LogFormat::logfmt;
    std::string level = "info";  ///< of the event log on stderr: debug, info, warning, error
};

struct Shutdown {
    milliseconds grace = 30s;  ///< not ready, still accepting
    milliseconds drain = 30s;  ///< in-flight exchanges finish
};

struct Config {
    std::string file;      ///< for messages
    unsigned workers = 0;  ///< 0: one per core
    std::vector<Listener> listeners;
    Tls tls;
    Clients clients;
    Geo geo;
    std::vector<Origin> origins;  ///< in configuration order
    std::vector<Site> sites;      ///< at least one after parse()
    RateLimit rate_limit;         ///< of every site that has none of its own
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
