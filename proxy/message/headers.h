#pragma once

#include "geo/address.h"
#include "proxy/message/request.h"
#include "proxy/shared/snapshot.h"
#include "proxy/wire/buffer.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What is removed, kept and written when a message is forwarded. Pure functions over fields (RFC 9110 section 7.6).
namespace nearhop::message {

/// Names listed in Connection fields: hop-by-hop for this message. A client cannot list away what the proxy writes
/// (CVE-2021-32813), since that is written from the proxy's own values.
class ConnectionNames {
public:
    explicit ConnectionNames(std::span<const wire::Field> fields);
    bool lists(std::string_view name) const noexcept;

private:
    std::vector<std::string_view> names_;  // usually empty: no allocation then
};

/// True for fields that concern one connection only, whatever Connection says.
bool is_hop_by_hop(wire::Name name) noexcept;

struct Forwarding {
    geo::Address peer;     ///< the next hop towards the client, for X-Forwarded-For
    bool trusted = false;  ///< the peer's own forwarded fields are kept and appended to
    unsigned hops = 0;     ///< steering::Located::hops
    std::string_view request_id;
    std::span<const std::string> secret_headers;    ///< lower case; never forwarded
    std::span<const std::string> identity_headers;  ///< only the edge may send these; '_' counts as '-'
    std::string_view identity;                      ///< lines of the verified client certificate
    std::string_view upgrade;                       ///< the one protocol that the origin is asked to switch to
    std::string_view websocket_key;                 ///< ours, for a client whose protocol has none (RFC 8441)
    std::string_view target;                        ///< what the origin is asked for; empty: as the client sent it
    bool keep_underscores = false;                  ///< field names with underscores pass, twins of ours apart
};

/// Max-Forwards of an OPTIONS request (RFC 9110 section 7.6.2; other methods' is none of our business).
struct MaxForwards {
    std::optional<std::uint64_t> left;
    bool malformed = false;
};
MaxForwards max_forwards(const Request& request) noexcept;

/// The Host that the origin gets; never empty.
std::string_view host_sent(const Request& request, const steering::SiteTable& site,
                           const shared::OriginInfo& origin) noexcept;

/// How often the request has passed an edge like this one, by Via (RFC 9110 section 7.6.3) and CDN-Loop (RFC 8586).
unsigned passes(std::span<const wire::Field> fields) noexcept;
/// Edges in a row that a request may have come through; more are a loop.
inline constexpr unsigned most_passes = 8;

/// The request head as the origin gets it: method, target, Host, the client's fields, Via (or CDN-Loop where that is
/// left out), the origin's own fields, X-Forwarded-*, Forwarded, X-Request-Id, Expect and framing; ends with the empty
/// line. Max-Forwards of OPTIONS is one less, and must not be 0.
void write_request_head(const Request& request, const Forwarding& how, const steering::SiteTable& site,
                        const shared::OriginInfo& origin, wire::Buffer& out);

/// All that a request's head is written from.
struct RequestStart {
    const Request& request;
    const Forwarding& forwarding;
    const steering::SiteTable& site;
    const shared::OriginInfo& origin;
};

/// The first protocol of the client's list that the route allows, in the route's spelling; empty: none. WebSocket is
/// for GET alone (RFC 6455 section 4.1).
std::string_view chosen_upgrade(const Request& request, const std::vector<std::string>& allowed);

/// Whether a 101 agrees to exactly the protocol that was asked for (RFC 9110 sections 7.8 and 15.2.2).
bool switches_to(std::span<const wire::Field> fields, std::string_view protocol);

/// Sec-WebSocket-Accept for a key (RFC 6455 section 4.2.2).
std::string websocket_accept(std::string_view key);

/// Calls `visit(field)` for the origin's fields that a client may see; framing fields are not among them.
template <class Visit>
void for_each_response_field(std::span<const wire::Field> fields, Visit visit) {
    const ConnectionNames listed{fields};
    for (const auto& field : fields)
        // Alt-Svc would send clients to an address and a protocol of the origin's, past this edge (RFC 7838).
        if (!is_hop_by_hop(field.id) && field.id != wire::Name::content_length && field.id != wire::Name::x_nearhop &&
            field.id != wire::Name::alt_svc && !listed.lists(field.name))
            visit(field);
}

/// The same as lines; framing and connection fields are the codec's to write.
void write_response_fields(std::span<const wire::Field> fields, wire::Buffer& out);

/// What a head does not carry on must not come behind its body either: an origin may merge the two.
struct TrailerRules {
    std::span<const std::string> secret_headers{};
    std::span<const std::string> identity_headers{};
    std::string_view agent_header{};            ///< what an origin says of itself; empty: none
    std::span<const std::string> own_fields{};  ///< of requests: that the edge sets or removes
    bool keep_underscores = false;
};

/// Trailer lines that may be forwarded: well-formed, and neither framing, routing nor listed by the head's Connection
/// (RFC 9110 sections 6.5.1 and 7.6.1). `fields`: the head's. Appends lines with CRLF to `out`; false when a line is
/// malformed.
bool filter_trailers(std::string_view trailers, std::span<const wire::Field> fields, const TrailerRules& rules,
                     std::string& out);

}  // namespace nearhop::message
