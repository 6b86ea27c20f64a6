#pragma once

#include "health/verdict.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nearhop::account {

/// Every way in which an exchange fails. Codes are stable: log field, metric label, error body, docs/faults.md.
enum class Fault : std::uint8_t {
    none,
    client_bad_request,
    client_bad_framing,
    client_head_too_large,
    client_target_too_long,
    client_head_timeout,
    client_body_timeout,
    client_body_too_large,
    client_gone,
    client_write_timeout,
    client_session_ended,
    client_unknown_host,
    client_misdirected,
    client_untrusted,
    client_method_refused,
    client_expectation,
    client_upgrade_refused,
    client_rate_limited,
    origin_resolve,
    origin_refused,
    origin_unreachable,
    origin_connect_timeout,
    origin_tls,
    origin_tls_timeout,
    origin_certificate,
    origin_misdirected,
    origin_stale,
    origin_reset,
    origin_bad_response,
    origin_truncated,
    origin_head_timeout,
    origin_stalled,
    origin_lost,
    origin_body_timeout,
    no_origin,
    origin_full,
    key_pinned,
    tunnel_idle,
    site_rate_limited,
    edge_loop,
    edge_overloaded,
    edge_stopped,
    edge_internal,
};
inline constexpr std::size_t fault_count = static_cast<std::size_t>(Fault::edge_internal) + 1;

enum class Side : std::uint8_t { none, client, origin, edge };

struct FaultInfo {
    std::string_view code;
    Side side;
    unsigned status;        ///< what the client gets when nothing else was sent
    bool nothing_sent;      ///< provably no request byte reached an origin: any method may move
    health::Reason reason;  ///< what it says of the origin's health; none: nothing
    std::string_view meaning;
};

/// One row answers everything about a fault.
const FaultInfo& info(Fault fault) noexcept;

/// No origin can help: the client failed or left, or the edge stops or failed itself.
inline bool is_final(Fault fault) noexcept {
    return info(fault).side == Side::client || fault == Fault::edge_stopped || fault == Fault::edge_internal;
}

}  // namespace nearhop::account
