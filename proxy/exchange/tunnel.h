#pragma once

#include "proxy/exchange/codec.h"
#include "proxy/exchange/context.h"
#include "proxy/exchange/download.h"
#include "proxy/exchange/upload.h"
#include "proxy/loop/task.h"
#include "proxy/origin/channel.h"

namespace nearhop::exchange {

/// Bytes both ways between a client and an origin that switched to another protocol (RFC 9110 section 7.8). Each side
/// may end its direction while the other goes on; each direction is read only as fast as its receiver takes it, so a
/// tunnel holds a bounded number of bytes. What an origin sent before it broke is still delivered, and what a client
/// sent before its end; one that takes nothing more ends the tunnel at once.
class Tunnel {
public:
    /// Body bytes of the exchange, counted as they move: the access line is right also when the tunnel is cut off.
    struct Bytes {
        std::uint64_t& in;   ///< from the client
        std::uint64_t& out;  ///< to the client
    };
    Tunnel(Context& context, loop::Wake& wake, loop::Timer& timer, Codec& client, origin::Channel& origin, Bytes bytes);
    ~Tunnel();
    Tunnel(const Tunnel&) = delete;
    Tunnel& operator=(const Tunnel&) = delete;

    /// Until both directions have ended (`none`), a side is lost, nothing moved for `idle`, or the client takes too
    /// little of what waits for it. What is cut must not pass for an end: the client's side is aborted, the origin's
    /// reset.
    loop::Task<Fault> run(loop::milliseconds idle);

private:
    enum class End : std::uint8_t {
        open,     ///< may send more
        orderly,  ///< said that it is done
        cut,      ///< ended without a word, or broke
    };
    loop::Task<Fault> carry(loop::milliseconds idle);
    Fault cut() const;
    bool move(loop::TimePoint now);
    bool to_origin(loop::TimePoint now);
    bool to_client();
    /// Both directions are done with, and nothing waits for an origin that could take it.
    bool over() const noexcept {
        if (origin_end_ != End::orderly) return false;
        return origin_deaf_ || (upload_.complete() && origin_.is_sent()) ||
               (client_end_ == End::cut && origin_.is_delivered());
    }

    Context& context_;
    loop::Wake& wake_;
    loop::Timer& timer_;
    Codec& client_;
    origin::Channel& origin_;
    Bytes bytes_;
    Upload upload_;
    Download download_;
    End client_end_ = End::open;
    End origin_end_ = End::open;
    bool origin_deaf_ = false;    ///< takes nothing more
    bool client_lost_ = false;    ///< takes nothing more
    bool client_blocks_ = false;  ///< something waits for the client
    bool ended_ = false;          ///< all that the client had to say has reached the origin; else that is cut off
};

}  // namespace nearhop::exchange
