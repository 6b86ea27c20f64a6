#include "proxy/account/counters.h"

namespace nearhop::account {

std::string_view name(Http2End why) noexcept {
    switch (why) {
        case Http2End::open: return "open";
        case Http2End::closed: return "closed";
        case Http2End::idle: return "idle";
        case Http2End::drained: return "drained";
        case Http2End::head_timeout: return "head_timeout";
        case Http2End::write_timeout: return "write_timeout";
        case Http2End::protocol_error: return "protocol_error";
        case Http2End::rapid_reset: return "rapid_reset";
        case Http2End::made_reset: return "made_reset";
        case Http2End::control_flood: return "control_flood";
        case Http2End::empty_frames: return "empty_frames";
        case Http2End::continuation_flood: return "continuation_flood";
        case Http2End::header_bomb: return "header_bomb";
    }
    return "?";
}

std::string_view name(Duty duty) noexcept {
    switch (duty) {
        case Duty::resolve: return "resolve";
        case Duty::probe: return "probe";
        case Duty::control_target: return "control_target";
        case Duty::files: return "files";
        case Duty::orders: return "orders";
        case Duty::reload: return "reload";
        case Duty::tick: return "tick";
        case Duty::signals: return "signals";
        case Duty::admin: return "admin";
        case Duty::mail: return "mail";
    }
    return "?";
}

std::string_view name(Stay why) noexcept {
    switch (why) {
        case Stay::not_idempotent: return "not_idempotent";
        case Stay::body_not_replayable: return "body_not_replayable";
        case Stay::budget_empty: return "budget_empty";
        case Stay::deadline: return "deadline";
        case Stay::candidates_exhausted: return "candidates_exhausted";
        case Stay::response_started: return "response_started";
        case Stay::key_pinned: return "key_pinned";
        case Stay::failover_disabled: return "failover_disabled";
    }
    return "?";
}

std::string_view name(Moved outcome) noexcept {
    switch (outcome) {
        case Moved::answered: return "answered";
        case Moved::failed: return "failed";
        case Moved::client_gone: return "client_gone";
    }
    return "?";
}

std::string_view name(Refusal why) noexcept {
    switch (why) {
        case Refusal::none: break;
        case Refusal::sessions: return "sessions";
        case Refusal::address: return "address";
        case Refusal::handshakes: return "handshakes";
        case Refusal::handshake_rate: return "handshake_rate";
        case Refusal::busy_address: return "busy_address";
        case Refusal::overload: return "overload";
    }
    return "";
}

}  // namespace nearhop::account
