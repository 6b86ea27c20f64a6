#pragma once

#include "conf/edge.h"
#include "proxy/loop/loop.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace nearhop::client {

/// How long the edge reads and discards bytes, so that an answer reaches a client that still sends: closing a
/// connection with unread bytes resets it, and the answer is lost (RFC 9112 section 9.6).
class Linger {
public:
    /// For a client that has nothing left to send.
    static constexpr loop::milliseconds moment{1000};
    static constexpr std::uint64_t few_bytes = 64 * 1024;

    /// `client_sends`: a request body is incomplete. Otherwise the client gets a moment to close, no more.
    Linger(const conf::Limits& limits, bool client_sends, loop::TimePoint now) noexcept
        : silence_{limits.drain_silence},
          ends_{now + (client_sends ? limits.drain_time : std::min(limits.drain_time, moment))},
          silent_until_{now + silence_},
          bytes_{client_sends ? limits.drain_bytes : std::min(limits.drain_bytes, few_bytes)} {}

    /// `bytes` more came, or none.
    bool is_over(std::size_t bytes, loop::TimePoint now) noexcept {
        if (bytes > bytes_ || now >= due()) return true;
        bytes_ -= bytes;
        turn_ += bytes;
        if (bytes != 0) silent_until_ = now + silence_;
        return false;
    }
    loop::TimePoint due() const noexcept { return std::min(ends_, silent_until_); }
    /// Read enough for one turn: others go first.
    bool has_had_its_turn() noexcept {
        if (turn_ < fair_share) return false;
        turn_ = 0;
        return true;
    }

private:
    static constexpr std::uint64_t fair_share = 512 * 1024;
    loop::milliseconds silence_;
    loop::TimePoint ends_, silent_until_;
    std::uint64_t bytes_, turn_ = 0;
};

}  // namespace nearhop::client
