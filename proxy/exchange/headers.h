#pragma once

#include "geo/address.h"
#include "proxy/exchange/codec.h"
#include "proxy/snapshot.h"
#include "proxy/wire/buffer.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What is removed, kept and written when a message is forwarded. Pure functions over fields (RFC 9110 section 7.6).
namespace nearhop::exchange {

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
    std::string_view request_id;
    std::span<const std::string> secret_headers;  ///< lower case; never forwarded
    std::string_view upgrade;                     ///< the one protocol that the origin is asked to switch to
    std::string_view websocket_key;               ///< ours, for a client whose protocol has none (RFC 8441)
};

/// The request head as the origin gets it: method, target, Host, the client's fields, Via, X-Forwarded-*, Forwarded,
/// X-Request-Id and framing; ends with the empty line.
void write_request_head(const Request& request, const Forwarding& how, const steering::SiteTable& site,
                        const OriginInfo& origin, wire::Buffer& out);

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
        if (!is_hop_by_hop(field.id) && field.id != wire::Name::content_length && field.id != wire::Name::x_nearhop &&
            !listed.lists(field.name))
            visit(field);
}

/// The same as lines; framing and connection fields are the codec's to write.
void write_response_fields(std::span<const wire::Field> fields, wire::Buffer& out);

/// Trailer lines that may be forwarded: well-formed, and neither framing, routing nor Connection-listed fields
/// (RFC 9110 section 6.5.1). Appends lines with CRLF to `out`; false when a line is malformed.
bool filter_trailers(std::string_view trailers, std::string& out);

}  // namespace nearhop::exchange
