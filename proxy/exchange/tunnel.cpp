#include "proxy/exchange/tunnel.h"

#include <algorithm>

namespace nearhop::exchange {

using loop::Io;
using wire::Stream;

namespace {

constexpr std::size_t read_ahead = 64 * 1024;
constexpr std::uint64_t fair_share = 512 * 1024;  // moved in one turn, while other sessions wait
constexpr loop::milliseconds quiet_after{500};    // most tunnels are silent most of the time: 34 KiB and more a side

}  // namespace

Tunnel::Tunnel(Context& context, loop::Wake& wake, loop::Timer& timer, Codec& client, Stream& origin, Bytes bytes)
    : context_{context}, wake_{wake}, timer_{timer}, client_{client}, origin_{origin}, bytes_{bytes} {
    context_.counters.tunnels_opened.add();
}

Tunnel::~Tunnel() { context_.counters.tunnels_closed.add(); }

loop::Task<Fault> Tunnel::run(loop::milliseconds idle, loop::milliseconds write_timeout) {
    auto progress = context_.loop.now();
    auto client_progress = progress;
    std::uint64_t delivered = 0;
    std::uint64_t turn_began = bytes_.in + bytes_.out;
    bool quiet = false;
    for (;;) {
        const bool moved = move();
        const auto now = context_.loop.now();
        if (over()) co_return Fault::none;
        if (client_lost_) {
            // Nobody is left to read what the origin says; with both directions ended that was only our farewell.
            client_.abort();
            co_return Fault::client_gone;
        }
        if (client_end_ == End::cut && (origin_.unsent() == 0 || origin_deaf_)) {
            client_.abort();
            co_return Fault::client_gone;
        }
        if (origin_end_ == End::cut && client_.unsent() == 0) {
            client_.abort();
            co_return Fault::origin_truncated;
        }
        if (moved) {
            progress = now;
            quiet = false;
        }
        // As in Exchange::relay(): by all that left, since HTTP/2 sends between turns.
        const std::uint64_t so_far = bytes_.out - std::min<std::uint64_t>(bytes_.out, client_.unsent());
        if (!client_blocks_ || so_far > delivered) client_progress = now;
        delivered = std::max(delivered, so_far);
        if (moved) {
            // Again until nothing moves: what stood in the way may have left, and nobody would notify us of that.
            if (bytes_.in + bytes_.out - turn_began < fair_share) continue;
            turn_began = bytes_.in + bytes_.out;
            co_await wake_.yield();
            continue;
        }
        if (now >= progress + idle || (client_blocks_ && now >= client_progress + write_timeout)) {
            client_.abort();
            co_return now >= progress + idle ? Fault::tunnel_idle : Fault::client_write_timeout;
        }
        if (!quiet && now >= progress + quiet_after) {
            client_.quiet();
            origin_.release_all();
            quiet = true;
        }
        auto due = progress + idle;
        if (client_blocks_) due = std::min(due, client_progress + write_timeout);
        if (!quiet) due = std::min(due, progress + quiet_after);
        timer_.expires_at(due);
        co_await wake_.wait();
        turn_began = bytes_.in + bytes_.out;
    }
}

/// What can be moved now, both ways. True when anything did.
bool Tunnel::move() {
    const bool forth = to_origin();
    const bool back = to_client();
    return forth || back;
}

bool Tunnel::to_origin() {
    const std::size_t waiting = origin_.unsent();
    bool moved = false;
    while (client_end_ == End::open && !origin_deaf_ && origin_.unsent() < Stream::high_water) {
        const auto body = client_.body();
        if (body.bytes.empty()) {
            if (body.fault != Fault::none) client_end_ = End::cut;
            if (body.complete) client_end_ = End::orderly;
            break;
        }
        const std::size_t taken = origin_.write_some(body.bytes);
        if (taken == 0) break;
        client_.consume_body(taken);
        bytes_.in += taken;
        context_.counters.tunnel_received.add(taken);
        moved = true;
    }
    if (origin_deaf_) return moved;
    const Io sent = origin_.flush();
    if (sent == Io::failed || origin_.socket().broken()) {
        // What it said before may still be there to read; that it is gone shows at the end of it.
        origin_deaf_ = true;
    } else if (sent == Io::ok && client_end_ == End::orderly && !origin_told_) {
        origin_told_ = true;
        origin_.close_notify();
        origin_.flush();
        origin_.socket().shutdown_write();
    }
    return moved || origin_.unsent() < waiting;
}

bool Tunnel::to_client() {
    const std::size_t waiting = client_.unsent();
    bool moved = false;
    client_blocks_ = false;
    while (origin_end_ == End::open && client_.unsent() < Stream::high_water) {
        auto& in = origin_.in();
        if (in.empty()) {
            const Io got = origin_.fill(read_ahead);
            if (got == Io::closed) {
                // RFC 8446 section 6.1: over TLS only close_notify says that nothing was cut off.
                origin_end_ = origin_.ended_orderly() ? End::orderly : End::cut;
                if (origin_end_ == End::orderly) client_.finish({});
            }
            if (got == Io::failed) origin_end_ = End::cut;
            if (got != Io::ok) break;
        }
        const std::size_t taken = client_.write(in.view());
        client_blocks_ = taken == 0;
        if (client_blocks_) break;
        in.consume(taken);
        in.release();
        bytes_.out += taken;
        context_.counters.tunnel_sent.add(taken);
        moved = true;
    }
    if (client_.flush() == Io::failed || client_.gone()) client_lost_ = true;
    client_blocks_ = client_blocks_ || client_.unsent() != 0;
    return moved || client_.unsent() < waiting;
}

}  // namespace nearhop::exchange
