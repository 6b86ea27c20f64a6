#pragma once

#include "proxy/wire/framing.h"
#include "proxy/wire/head.h"

#include <cstdint>
#include <span>
#include <string_view>

namespace nearhop::message {

/// In which a client asks.
enum class Protocol : std::uint8_t { http10, http11, http2 };

/// As the access log has it.
constexpr std::string_view name(Protocol protocol) noexcept {
    switch (protocol) {
        case Protocol::http10: return "HTTP/1.0";
        case Protocol::http11: return "HTTP/1.1";
        case Protocol::http2: break;
    }
    return "HTTP/2";
}

/// A request in its checked form, whatever protocol it came in. Views last as long as the exchange.
struct Request {
    std::string_view method;
    std::string_view target;     ///< origin-form, or "*"
    std::string_view path;       ///< target up to '?'
    std::string_view authority;  ///< Host with its port as sent; empty for HTTP/1.0 without Host
    std::string_view host;       ///< authority without port and trailing dot
    std::span<const wire::Field> fields;
    wire::Framing framing;
    /// Protocols that the client would switch to, as a list in its order; empty unless the request lets us act on it
    /// (RFC 9110 section 7.8). A request with it has no body.
    std::string_view upgrade;
    /// RFC 8441: `upgrade` is the :protocol of an extended CONNECT, `method` is the GET that an origin gets for it, and
    /// only a tunnel is a success.
    bool extended_connect = false;
    Protocol protocol = Protocol::http11;
    bool expects_continue = false;
    bool secure = true;  ///< came over TLS
};

/// What the client sent.
inline std::string_view method_in_log(const Request& request) noexcept {
    return request.extended_connect ? "CONNECT" : request.method;
}

}  // namespace nearhop::message
