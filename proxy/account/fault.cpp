#include "proxy/account/fault.h"

namespace nearhop::account {
namespace {

using enum Side;
using R = health::Reason;

constexpr FaultInfo table[] = {
    {"-", none, 200, false, R::none, "no fault"},
    {"client_bad_request", client, 400, false, R::none, "the request is malformed"},
    {"client_bad_framing", client, 400, false, R::none, "recipients could disagree about where the request ends"},
    {"client_head_too_large", client, 431, false, R::none, "the request head is above the configured limits"},
    {"client_target_too_long", client, 414, false, R::none, "the request target is above the configured limit"},
    {"client_head_timeout", client, 408, false, R::none, "the request head did not arrive in time"},
    {"client_body_timeout", client, 408, false, R::none, "the request body made no progress"},
    {"client_body_too_large", client, 413, false, R::none, "the request body is above the configured limit"},
    {"client_gone", client, 499, false, R::none, "the client left before the answer was complete"},
    {"client_write_timeout", client, 499, false, R::none, "the client did not read its answer"},
    {"client_session_ended", client, 503, false, R::none,
     "the edge ended the connection for what its client did on it"},
    {"client_unknown_host", client, 421, false, R::none, "no site serves this host name"},
    {"client_misdirected", client, 421, false, R::none, "this connection was opened for a site with other rules"},
    {"client_untrusted", client, 403, false, R::none, "the request did not come through a trusted peer"},
    {"client_method_refused", client, 405, false, R::none, "the method is not served"},
    {"client_expectation", client, 417, false, R::none, "an expectation other than 100-continue"},
    {"client_upgrade_refused", client, 501, false, R::none, "the protocol to switch to is not allowed here"},
    {"client_rate_limited", client, 429, false, R::none, "the client's address sends more requests than it may"},
    {"origin_resolve", origin, 502, true, R::resolve_failed, "the origin's name has no address"},
    {"origin_refused", origin, 502, true, R::refused, "the origin refused the connection"},
    {"origin_unreachable", origin, 502, true, R::unreachable, "there is no route to the origin"},
    {"origin_connect_timeout", origin, 504, true, R::connect_timeout, "the origin did not accept in time"},
    {"origin_tls", origin, 502, true, R::tls_failed, "the TLS handshake with the origin failed"},
    {"origin_tls_timeout", origin, 504, true, R::tls_timeout, "the TLS handshake with the origin took too long"},
    {"origin_certificate", origin, 502, true, R::tls_certificate, "the origin's certificate was refused"},
    {"origin_misdirected", origin, 502, false, R::none, "every origin tried refused the Host (421)"},
    {"origin_stale", origin, 502, false, R::none,
     "a kept-alive connection was closed by the origin before it answered"},
    {"origin_reset", origin, 502, false, R::reset, "the origin closed the connection before it answered"},
    {"origin_bad_response", origin, 502, false, R::bad_response, "the origin's answer is malformed or ambiguous"},
    {"origin_truncated", origin, 502, false, R::reset, "the origin's answer ended early"},
    {"origin_head_timeout", origin, 504, false, R::head_timeout, "the origin did not answer in time"},
    {"origin_stalled", origin, 504, false, R::none, "requests to the origin waited and no answer came"},
    {"origin_lost", origin, 504, false, R::connect_timeout,
     "the path to the origin's address is lost: nothing comes back"},
    {"origin_body_timeout", origin, 504, false, R::body_timeout, "the origin's answer made no progress"},
    {"no_origin", edge, 503, false, R::none, "no origin may serve this request now"},
    {"origin_full", edge, 503, false, R::none, "the origin is at its capacity, and so is the queue for it"},
    {"key_pinned", edge, 503, false, R::none, "the origin that this Idempotency-Key is pinned to cannot be reached"},
    {"tunnel_idle", edge, 504, false, R::none, "nothing moved through the tunnel for the configured time"},
    {"site_rate_limited", edge, 429, false, R::none, "the site gets more requests than it may"},
    {"edge_loop", edge, 508, false, R::none, "the request has come through too many edges: it loops"},
    {"edge_overloaded", edge, 503, false, R::none, "the edge is at its limits"},
    {"edge_stopped", edge, 503, false, R::none, "the edge stopped before the exchange was over"},
    {"edge_internal", edge, 500, false, R::none, "an error inside the edge"},
};
static_assert(sizeof table / sizeof table[0] == fault_count, "one row per fault");

}  // namespace

const FaultInfo& info(Fault fault) noexcept { return table[static_cast<std::size_t>(fault)]; }

}  // namespace nearhop::account
