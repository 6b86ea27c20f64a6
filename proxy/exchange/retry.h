#pragma once

#include "proxy/account/fault.h"
#include "proxy/steering/table.h"

#include <chrono>
#include <cstdint>

namespace nearhop::exchange {

using account::Fault;

/// What may be done after an attempt failed: the table of docs/retries.md, decided by what provably happened.
enum class Move : std::uint8_t {
    no,
    next_origin,
    same_origin,  ///< once, on a fresh connection
};

/// An answer after which another origin may be asked: refused before processing, or a gateway's.
constexpr bool is_retried(unsigned status) noexcept {
    return status == 421 || status == 502 || status == 503 || status == 504;
}

struct MoveFacts {
    steering::MethodClass method = steering::MethodClass::safe;
    bool idempotency_key = false;    ///< the origin gets an Idempotency-Key that is not empty
    bool body_replayable = true;     ///< every body byte read so far is still held
    bool request_sent = false;       ///< at least one request byte may have reached the origin
    bool reused_connection = false;  ///< the request was sent on a kept-alive connection
    bool same_origin_tried = false;  ///< the fresh connection to this origin was used up already
    unsigned status = 0;             ///< of a complete response head, 0: none
};

constexpr Move may_move(const MoveFacts& facts) noexcept {
    const bool idempotent = facts.method != steering::MethodClass::unsafe;
    if (!facts.request_sent) return Move::next_origin;
    if (!facts.body_replayable) return Move::no;
    if (facts.status == 421) return Move::next_origin;  // refused before processing (RFC 9110 section 15.5.20)
    if (facts.status != 0) {
        const bool gateway = facts.status == 502 || facts.status == 503 || facts.status == 504;
        return gateway && idempotent ? Move::next_origin : Move::no;
    }
    if (idempotent) {
        return facts.reused_connection && !facts.same_origin_tried ? Move::same_origin : Move::next_origin;
    }
    // The origin that may have acted is the only one that can recognise the key.
    return facts.idempotency_key && !facts.same_origin_tried ? Move::same_origin : Move::no;
}

static_assert(may_move({.method = steering::MethodClass::unsafe}) == Move::next_origin);
static_assert(may_move({.method = steering::MethodClass::unsafe, .request_sent = true}) == Move::no);
static_assert(may_move({.method = steering::MethodClass::safe, .request_sent = true}) == Move::next_origin);
static_assert(may_move({.request_sent = true, .status = 500}) == Move::no);

}  // namespace nearhop::exchange
