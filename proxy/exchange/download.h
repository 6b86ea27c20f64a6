#pragma once

#include "proxy/exchange/codec.h"
#include "proxy/message/source.h"
#include "proxy/wire/stream.h"

#include <cstdint>

namespace nearhop::exchange {

using account::Fault;

/// The other direction: bytes of an answer's source, or of a tunnel's, to the client, and the pace at which the client
/// must take them. Nothing here waits.
class Download {
public:
    /// `bytes` counts the body as the client's side takes it.
    Download(message::Source& from, Codec& client, std::uint64_t& bytes) noexcept
        : from_{from}, client_{client}, bytes_{bytes} {}

    enum class State : std::uint8_t {
        open,      ///< the source has nothing now, or the client's side is full
        blocked,   ///< the client's side takes nothing although it is not full
        complete,  ///< nothing follows; the answer is to be finished
        failed,    ///< the source: its fault() says why
    };
    /// Moves what can be moved now to the client's side, which is to be flushed then.
    State move() {
        std::string_view bytes;
        // Its end goes with its last bytes: HTTP/2 would send it later only where the client has opened its window.
        while (client_.unsent() < wire::Stream::high_water || from_.body_read()) {
            switch (from_.body(bytes)) {
                case message::Source::Body::pending: return State::open;
                case message::Source::Body::complete: return State::complete;
                case message::Source::Body::failed: return State::failed;
                case message::Source::Body::data: break;
            }
            const std::size_t taken = client_.write(bytes);
            if (taken == 0) return State::blocked;
            from_.consume_body(taken);
            bytes_ += taken;
        }
        return State::open;
    }

    /// Whether the client takes too little, if it is the one awaited; due() says when to ask again.
    bool is_too_slow(loop::TimePoint now, bool awaits_client) {
        auto& pace = client_.reader();
        pace.await(awaits_client, now);
        return awaits_client && pace.is_too_slow(now, [this] { return client_.taken(); });
    }
    loop::TimePoint due() const noexcept { return client_.reader().due(); }

private:
    message::Source& from_;
    Codec& client_;
    std::uint64_t& bytes_;
};

}  // namespace nearhop::exchange
