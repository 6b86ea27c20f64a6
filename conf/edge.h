#pragma once

#include "conf/problem.h"
#include "conf/secret.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// The configuration of the edge itself: listeners, trusted peers, places of clients, limits.
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

/// Whether a client must show a certificate. A bad certificate ends the handshake in every case but `none`.
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
    At<std::string> ciphers;     ///< instead of tls.ciphers; empty: tls.ciphers
    unsigned redirect_port = 0;  ///< http only: the port in the redirect's Location; 0: of the first https listener
    std::string ready_path;      ///< the edge answers it itself (200 or 503), for balancers' checks; empty: off
    bool http2 = true;           ///< https only: offered through ALPN beside HTTP/1.1
};

struct Certificate {
    At<std::string> certificate;  ///< PEM file, leaf first
    At<std::string> private_key;  ///< PEM file
    At<std::string> ocsp;         ///< DER file with the response to staple; empty: none
};

/// Fields in which origins get the verified identity of a client certificate; empty: not sent. The edge removes these
/// fields from clients' requests.
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
    At<std::string> client_ca;  ///< PEM file: the authorities of client certificates, unless a site has its own
    ClientIdentity identity;
    At<std::string> ticket_keys;    ///< file of 80-byte keys shared by several edges; empty: random ones
    seconds ticket_rotation = 12h;  ///< of random keys, 1 s .. 1 week
};

/// What a verified client certificate must match: every given part.
struct TrustedCertificate {
    std::string fingerprint;  ///< SHA-256 in lower-case hex; empty: any
    std::string san;          ///< one of its names, such as "DNS:cdn.example"; empty: any
    Mark mark{};              ///< line 0: no certificate required
    bool given() const { return mark.line > 0; }
};

/// One way for a peer to be trusted: every given part must match.
struct TrustedPeer {
    std::optional<At<std::string>> cidr;
    At<std::string> ip_ranges;  ///< instead of cidr: AWS's ip-ranges.json; its networks of `service`
    At<std::string> service;
    TrustedCertificate certificate;
    std::string secret_header;  ///< field name; empty: not required
    Secret secret;              ///< compared in constant time; never forwarded
    Mark mark{};
};

/// What the edge does with request fields whose name contains an underscore.
enum class Underscores { drop, keep, refuse };

/// What the edge does with a request whose peer is not trusted.
enum class Untrusted { serve, refuse };

struct Clients {
    std::vector<TrustedPeer> trusted;
    seconds watch = 60s;  ///< how often the edge checks ip_ranges files, 1 s .. 1 day
    Underscores underscores = Underscores::drop;
    Untrusted untrusted = Untrusted::serve;  ///< unless a site says otherwise
    bool unsafe_trust_any_peer = false;      ///< required for 0.0.0.0/0, ::/0 and an entry without cidr
};

/// The operator's place for a network: exactly one of country, point and origins is set.
struct GeoOverride {
    At<std::string> cidr;
    std::optional<At<std::string>> country;
    std::optional<std::pair<double, double>> point;  ///< latitude, longitude in degrees
    std::vector<At<std::string>> origins;            ///< ordered origin names
};

struct Geo {
    std::vector<At<std::string>> databases;  ///< .mmdb files, first hit wins; empty: the embedded country database
    std::vector<GeoOverride> overrides;
    seconds watch = 60s;  ///< how often the edge checks the files, 1 s .. 1 day
};

/// A target beside the origins that answers as long as this edge has its network.
struct ControlTarget {
    enum class Kind { tcp, dns };
    Kind kind = Kind::tcp;
    ListenAddress address;  ///< numeric: a name would need the network that is in doubt
};

/// How the edge tells the loss of its own network from the loss of its origins.
struct Isolation {
    std::vector<At<ControlTarget>> control;  ///< empty: the edge never regards itself as cut off
    milliseconds interval = 5s;              ///< between two checks of a target, 100 ms .. 1 h
    milliseconds interval_failing = 1s;      ///< the same while an origin or a target is silent
    milliseconds timeout = 1s;               ///< for one check
};

struct Limits {
    std::uint64_t sessions = 0;              ///< 0: half of the descriptors
    std::uint64_t sessions_per_address = 0;  ///< 0: unlimited
    std::uint64_t requests = 0;              ///< in flight; 0: half of the descriptors
    std::uint64_t handshakes = 0;            ///< in progress; 0: unlimited
    unsigned handshakes_per_second = 0;      ///< 0: unlimited
    unsigned session_requests = 0;           ///< on one connection; 0: unlimited
    unsigned pipelined_requests = 100;       ///< in a row that arrive before the previous answer was sent; 0: unlimited
    std::uint64_t memory = 0;                ///< of the process; 0: 80 % of the machine's or cgroup's
    std::uint64_t geo_bytes = 0;             ///< of one geo database file; 0: half of the memory
    unsigned counter_rows = 4096;            ///< pairs of a site and an origin with counters of their own
    std::uint64_t body_rate = 100;           ///< least bytes per second of a request body, 0: none
    std::uint64_t write_rate = 100;          ///< least bytes per second that a client reads, 0: none
    At<unsigned> addresses{65'536};          ///< with counts and token buckets; read at start
    std::uint64_t head_bytes = 32 * 1024;
    unsigned head_fields = 100;
    std::uint64_t target_bytes = 8 * 1024;
    milliseconds handshake_timeout = 10s;
    milliseconds head_timeout = 10s;
    milliseconds body_timeout = 30s;   ///< request body without progress
    milliseconds write_timeout = 60s;  ///< client not reading our answer
    milliseconds idle_timeout = 75s;
    milliseconds origin_body_timeout = 60s;  ///< response body without progress, unless a site has its own
    std::uint64_t origin_head_bytes = 64 * 1024;
    unsigned origin_interim_responses = 8;
    std::uint64_t chunk_line_bytes = 256;
    std::uint64_t trailer_bytes = 8 * 1024;
    std::uint64_t replay_total = 64 * 1024 * 1024;
    std::uint64_t drain_bytes = std::uint64_t{1} << 30;  ///< unread request body after an answer
    milliseconds drain_time = 30s;
    milliseconds drain_silence = 5s;      ///< without a further byte of it
    std::optional<unsigned> origin_idle;  ///< idle connections per worker and origin; none: follows the load
    milliseconds origin_idle_timeout = 50s;
    milliseconds origin_age = 300s;
    unsigned origin_requests = 1000;  ///< per connection
};

/// HTTP/2 towards clients (RFC 9113), and what one connection may do before the edge ends it with ENHANCE_YOUR_CALM. A
/// count and its rate are a token bucket: the count at once, the rate per second afterwards.
struct Http2 {
    unsigned streams = 128;                         ///< open at a time
    std::uint64_t stream_window = 128 * 1024;       ///< bytes of one request body that wait for their origin
    std::uint64_t connection_window = 1024 * 1024;  ///< the same over all streams of a connection
    unsigned resets = 200;                          ///< streams that the client cancels, or makes us reset
    unsigned reset_rate = 20;                       ///< per second
    unsigned control_frames = 1000;                 ///< PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown ones
    unsigned control_rate = 100;                    ///< per second; requests and bodies that move add to it
    unsigned empty_frames = 100;                    ///< DATA, HEADERS or CONTINUATION without content that end nothing
    unsigned empty_rate = 10;                       ///< per second
    unsigned continuations = 8;                     ///< CONTINUATION frames of one head
    unsigned settings = 32;                         ///< entries of one SETTINGS frame
    std::uint64_t table_bytes = 4096;               ///< HPACK table, each direction
    unsigned cookie_crumbs = 1000;                  ///< fields into which the cookies of one head are split
};

struct Dns {
    std::vector<At<std::string>> servers;  ///< "127.0.0.1:5353"; empty: the system's
    seconds min_ttl = 5s;
    seconds max_ttl = 60s;
    milliseconds timeout = 2s;  ///< for one name, over all servers and tries
    unsigned addresses = 64;    ///< used per origin
};

/// TLS of the admin listener.
struct AdminTls {
    Certificate certificate;
    At<std::string> client_ca;              ///< PEM file: a client must show a certificate of theirs; empty: none
    std::optional<TlsVersion> min_version;  ///< instead of tls.min_version
};

struct Admin {
    std::optional<At<ListenAddress>> listen;  ///< default 127.0.0.1:9180; `admin: off` disables
    std::optional<AdminTls> tls;              ///< none: plain HTTP
    Secret token;                             ///< for calls that change state; empty: they are refused
    std::vector<At<std::string>> allow;       ///< CIDRs, beside loopback
    bool allow_loopback = true;               ///< false: loopback may connect only if `allow` contains it
    At<std::string> state_file;               ///< operator overrides; empty: in $STATE_DIRECTORY, if there is one
};

enum class LogFormat { json, logfmt };

/// What an access line keeps of a query, which may contain tokens.
struct LogQuery {
    enum class Kind { keep, drop, names };
    Kind kind = Kind::keep;
    std::vector<std::string> names;  ///< kind names: the parameters that stay; all others are removed
};

struct Log {
    At<std::string> access{"stdout"};         ///< "stdout", "off" or a file, reopened on SIGUSR1; read at start
    At<LogFormat> format{LogFormat::logfmt};  ///< read at start
    LogQuery query;
    std::string level = "info";  ///< of the event log on stderr: debug, info, warning, error
};

struct Shutdown {
    milliseconds grace = 30s;  ///< not ready, still accepting
    milliseconds drain = 30s;  ///< in-flight exchanges finish
};

}  // namespace nearhop::conf
