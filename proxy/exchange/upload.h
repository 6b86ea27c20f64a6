#pragma once

#include "proxy/exchange/codec.h"
#include "proxy/exchange/least_rate.h"
#include "proxy/exchange/replay.h"
#include "proxy/message/headers.h"
#include "proxy/origin/channel.h"

#include <cstddef>
#include <cstdint>

namespace nearhop::exchange {

using account::Fault;

/// One direction of an attempt or a tunnel: bytes of the client's to one origin, as fast as the slower of both, and the
/// pace at which the client must send them. Nothing here waits.
class Upload {
public:
    /// What is sent, and how much of it may be.
    struct Terms {
        const message::Request* request = nullptr;  ///< whose body it is; null: raw bytes of a tunnel
        message::TrailerRules trailers{};           ///< what may follow the body
        Replay* replay = nullptr;                   ///< what an attempt before had of it is sent again; null: nothing
        std::uint64_t limit = 0;                    ///< of the body, over all attempts; 0: none
        std::uint64_t& read;                        ///< the client's bytes, over all attempts
    };

    /// Sends what can be sent now. Client faults are returned; a broken origin shows when it is read.
    Fault move(Codec& client, origin::Channel& to, const Terms& terms, loop::TimePoint now);

    bool complete() const noexcept { return complete_; }  ///< all of it was taken
    bool broken() const noexcept { return broken_; }      ///< the origin takes nothing more
    /// The rest will never come: its connection serves nobody else.
    void stop() noexcept {
        broken_ = true;
        starved_ = false;
    }
    bool waits_for_client(const origin::Channel& to) const noexcept { return starved_ && to.is_sent(); }

    /// How fast the client sends, while it is the one awaited.
    LeastRate pace;

private:
    Fault take(Codec& client, origin::Channel& to, const Terms& terms, loop::TimePoint now);
    Fault end(const Codec& client, origin::Channel& to, const Terms& terms);

    std::size_t replayed_ = 0;
    bool complete_ = false;
    bool starved_ = false;  ///< the client has nothing for us now
    bool broken_ = false;
};

}  // namespace nearhop::exchange
