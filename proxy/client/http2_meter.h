#pragma once

#include "conf/config.h"
#include "proxy/account/counters.h"
#include "proxy/loop/loop.h"

#include <cstddef>
#include <cstdint>

namespace nearhop::client {

/// A token bucket in thousandths of a token: `count` at once (at most a million), `rate` per second afterwards. Small:
/// each HTTP/2 connection has four.
class TokenBucket {
public:
    TokenBucket(unsigned count, unsigned rate, loop::TimePoint now) noexcept
        : most_{count * 1000}, rate_{rate}, tokens_{most_}, filled_{milliseconds_of(now)} {}
    /// False when it is empty.
    bool take(loop::TimePoint now) noexcept;
    void give(unsigned tokens) noexcept;

private:
    /// The low half of the clock: only differences count, and after 24 days without a look one may be taken for none.
    static std::uint32_t milliseconds_of(loop::TimePoint time) noexcept;

    std::uint32_t most_;
    std::uint32_t rate_;
    std::uint32_t tokens_;
    std::uint32_t filled_;
};

/// Counts what costs an HTTP/2 server more than its client: the parts of each known flood. Each call returns
/// Http2End::open, or why the session must end. Pure: time is an argument.
class Http2Meter {
public:
    Http2Meter(const conf::Http2& limits, loop::TimePoint now) noexcept
        : resets_{limits.resets, limits.reset_rate, now},
          edge_resets_{limits.resets, limits.reset_rate, now},
          control_{limits.control_frames, limits.control_rate, now},
          empty_{limits.empty_frames, limits.empty_rate, now} {}

    /// A frame's header came: RFC 9113 section 4.1.
    account::Http2End frame(std::uint8_t type, std::uint8_t flags, std::size_t length, loop::TimePoint now) noexcept;
    /// RST_STREAM for a closed stream: an answer to a late DATA frame, or else a frame without effect.
    account::Http2End late_reset(loop::TimePoint now) noexcept { return reply(now); }
    /// A DATA frame that was all padding and ended nothing.
    account::Http2End padding(loop::TimePoint now) noexcept;
    /// A frame without effect.
    account::Http2End control(loop::TimePoint now) noexcept;
    /// The edge reset a stream because of the client (CVE-2025-8671).
    account::Http2End edge_reset(loop::TimePoint now) noexcept;
    /// A request, or a body that moves towards the client: control frames belong to both.
    void request() noexcept { control_.give(4); }
    /// A DATA frame left; `all`: with everything that there was of the body.
    void sent_data(std::size_t bytes, bool all) noexcept;

private:
    /// A client may give two windows back, the stream's and the connection's, for each so many bytes that it got, and
    /// for each frame with less; or say that it does not want them. Less, and not all that there was, is a dribble that
    /// its own windows force (CVE-2019-9511).
    static constexpr std::size_t per_reply = 1024;
    static constexpr std::uint32_t most_replies = 1u << 22;  // for 2 GiB, the largest window

    account::Http2End reply(loop::TimePoint now) noexcept;

    std::uint32_t replies_ = 0;  ///< frames that are due for what was sent, however late they come
    TokenBucket resets_, edge_resets_, control_, empty_;
};

}  // namespace nearhop::client
