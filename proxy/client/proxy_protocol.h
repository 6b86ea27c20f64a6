#pragma once

#include "geo/address.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace nearhop::client {

/// The PROXY protocol header, versions 1 and 2 (haproxy.org proxy-protocol.txt): who the client of the load balancer
/// in front of us is. Read only from configured peers, which must send it.
struct ProxyHeader {
    enum class State : std::uint8_t { more, complete, malformed };
    State state = State::more;
    std::size_t used = 0;                ///< bytes to consume when complete
    std::optional<geo::Address> source;  ///< empty for LOCAL and UNKNOWN: the peer itself
    std::uint16_t source_port = 0;       ///< beside it
};

/// Pure; `in` is everything received so far. At most 4 KiB of version 2 TLVs are accepted.
ProxyHeader parse_proxy_header(std::string_view in) noexcept;

}  // namespace nearhop::client
