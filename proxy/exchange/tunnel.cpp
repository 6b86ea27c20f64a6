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

Tunnel::~Tunnel() {
    context_.counters.tunnels_closed.add();
    if (!ended_) origin_.socket().reset();
}

loop::Task<Fault> Tunnel::run(loop::milliseconds idle) {
    const Fault fault = co_await carry(idle);
    if (fault != Fault::none) client_.abort();
    ended_ = fault == Fault::none && client_end_ != End::cut;
    co_return fault;
}

loop::Task<Fault> Tunnel::carry(loop::milliseconds idle) {
    auto progress = context_.loop.now();
    ReaderPace& reader = client_.reader();
    std::uint64_t turn_began = bytes_.in + bytes_.out;
    bool quiet = false;
    for (;;) {
        const bool moved = move();
        const auto now = context_.loop.now();
        if (over()) co_return Fault::none;
        if (const Fault cause = cut(); cause != Fault::none) co_return cause;
        if (moved) {
            progress = now;
            quiet = false;
            // Again until nothing moves: what stood in the way may have left, and nobody would notify us of that.
            if (bytes_.in + bytes_.out - turn_began < fair_share) continue;
            turn_began = bytes_.in + bytes_.out;
            co_await wake_.yield();
            continue;
        }
        const bool cut_short = client_end_ == End::cut || origin_end_ == End::cut;
        const bool awaits_client = client_blocks_ || origin_end_ == End::cut;
        reader.await(awaits_client, now);
        if (awaits_client && reader.is_too_slow(now, [this] { return client_.taken(); }))
            co_return Fault::client_write_timeout;
        if (now >= progress + idle) co_return Fault::tunnel_idle;
        if (!quiet && now >= progress + quiet_after) {
            client_.quiet();
            origin_.release_all();
            quiet = true;
        }
        auto due = progress + idle;
        if (awaits_client) due = std::min(due, reader.due());
        if (cut_short) due = std::min(due, now + loop::Socket::look_again);  // the kernel tells of no delivery
        if (!quiet) due = std::min(due, progress + quiet_after);
        timer_.expires_at(due);
        co_await wake_.wait();
        turn_began = bytes_.in + bytes_.out;
    }
}

/// Why the tunnel is cut off now. A reset takes back what the other side's system does not have yet: it is waited for.
Fault Tunnel::cut() const {
    if (context_.ends()) return Fault::edge_stopped;
    // Nobody is left to read what the origin says; with both directions ended that was only our farewell.
    if (client_lost_) return client_.why_gone();
    if (client_end_ == End::cut && (origin_deaf_ || origin_.is_delivered())) return client_.why_gone();
    if (origin_end_ == End::cut && client_.is_delivered()) return Fault::origin_truncated;
    return Fault::none;
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
