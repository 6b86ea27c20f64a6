#pragma once

#include "proxy/message/headers.h"

namespace nearhop::message {

/// Tells an origin who the client is and how it asked, in both families of fields: X-Forwarded-For, -Proto and -Host,
/// and Forwarded (RFC 7239). Whichever an origin reads, it learns the same:
///
/// - Both name the same hops, the trusted peer's and then the peer itself. A family that the peer left out is made of
/// the
///   other (RFC 7239 section 7.4); where they contradict each other X-Forwarded-For counts, which more proxies write.
/// - Both say one scheme and one host: those of X-Forwarded-Proto and -Host (the first, of several), else those that
///   Forwarded has for the client's hop, else those of this request. The first element of Forwarded and the last one,
///   ours, say them.
///
/// The fields of an untrusted peer do not count. Of a chain the last 64 hops go on.
void write_forwarded(const Request& request, const Forwarding& how, wire::Buffer& out);

/// The scheme by which the client asked, as write_forwarded() tells it. A view into the request, or a literal.
std::string_view client_proto(const Request& request, const Forwarding& how) noexcept;

}  // namespace nearhop::message
