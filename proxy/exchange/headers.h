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
};

/// The request head as the origin gets it: method, target, Host, the client's fields, Via, X-Forwarded-*, Forwarded,
/// X-Request-Id and framing; ends with the empty line.
void write_request_head(const Request& request, const Forwarding& how, const steering::SiteTable& site,
                        const OriginInfo& origin, wire::Buffer& out);

/// Origin fields that a client may see, as lines; framing and connection fields are the codec's to write.
void write_response_fields(std::span<const wire::Field> fields, wire::Buffer& out);

/// Trailer lines that may be forwarded: well-formed, and neither framing, routing nor Connection-listed fields
/// (RFC 9110 section 6.5.1). Appends lines with CRLF to `out`; false when a line is malformed.
bool filter_trailers(std::string_view trailers, std::string& out);

}  // namespace nearhop::exchange
