#pragma once

#include "proxy/exchange/exchange.h"

namespace nearhop::exchange {

/// Whether one entry of clients.trusted matches in all its parts: the peer's network, its certificate, and the secret
/// in this request. Judged for each request, not for the connection.
bool is_trusted(const steering::Trust& trust, const message::Request& request, const Peer& peer);

/// Whether a trusted peer says that its client came over TLS (RFC 7239 section 5.4, or X-Forwarded-Proto), which the
/// edge cannot see itself: "https", or the "wss" that some balancers write for a WebSocket.
bool ended_tls(const shared::Snapshot& snapshot, const message::Request& request, const Peer& peer);

}  // namespace nearhop::exchange
