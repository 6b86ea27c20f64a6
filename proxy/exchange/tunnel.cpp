#include "proxy/exchange/tunnel.h"

#include <algorithm>

namespace nearhop::exchange {

using loop::Io;

namespace {

constexpr std::uint64_t fair_share = 512 * 1024;  // moved in one turn, while other sessions wait
constexpr loop::milliseconds quiet_after{500};    // most tunnels are silent most of the time: 34 KiB and more a side

}  // namespace

Tunnel::Tunnel(Context& context, loop::Wake& wake, loop::Timer& timer, Codec& client, origin::Channel& origin,
               Bytes bytes)
    : context_{context},
      wake_{wake},
      timer_{timer},
      client_{client},
      origin_{origin},
      bytes_{bytes},
      download_{origin, client, bytes.out} {
    context_.counters.tunnels_opened.add();
    origin_.begin_tunnel();
}

Tunnel::~Tunnel() {
    context_.counters.tunnels_closed.add();
    if (!ended_) origin_.cancel();
}

loop::Task<Fault> Tunnel::run(loop::milliseconds idle) {
    const Fault fault = co_await carry(idle);
    if (fault != Fault::none) client_.abort();
    ended_ = fault == Fault::none && client_end_ != End::cut;
    co_return fault;
}

loop::Task<Fault> Tunnel::carry(loop::milliseconds idle) {
    auto progress = context_.loop.now();
    std::uint64_t turn_began = bytes_.in + bytes_.out;
    bool quiet = false;
    for (;;) {
        const auto now = context_.loop.now();
        const bool moved = move(now);
        if (over()) co_return Fault::none;
        if (const Fault cause = cut(); cause != Fault::none) co_return cause;
        if (moved) {
            progress = now;
            quiet = false;
            // Again until nothing moves: a full buffer may be empty now, and no event would say so.
            if (bytes_.in + bytes_.out - turn_began < fair_share) continue;
            turn_began = bytes_.in + bytes_.out;
            co_await wake_.yield();
            continue;
        }
        const bool cut_short = client_end_ == End::cut || origin_end_ == End::cut;
        const bool awaits_client = client_blocks_ || origin_end_ == End::cut;
        if (download_.is_too_slow(now, awaits_client)) co_return Fault::client_write_timeout;
        if (now >= progress + idle) co_return Fault::tunnel_idle;
        if (!quiet && now >= progress + quiet_after) {
            client_.quiet();
            origin_.quiet();
            quiet = true;
        }
        auto due = progress + idle;
        if (awaits_client) due = std::min(due, download_.due());
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
bool Tunnel::move(loop::TimePoint now) {
    const bool forth = to_origin(now);
    const bool back = to_client();
    return forth || back;
}

bool Tunnel::to_origin(loop::TimePoint now) {
    if (origin_deaf_) return false;
    const std::uint64_t taken = bytes_.in;
    const std::uint64_t sent = origin_.sent();
    if (client_end_ != End::cut) {
        if (upload_.move(client_, origin_, {.read = bytes_.in}, now) != Fault::none) client_end_ = End::cut;
        if (upload_.complete()) client_end_ = End::orderly;
        context_.counters.tunnel_received.add(bytes_.in - taken);
    }
    // What it said before it went deaf may still be there to read; that it is gone shows at the end of it.
    if (client_end_ == End::cut && origin_.flush() == Io::failed) origin_deaf_ = true;
    origin_deaf_ = origin_deaf_ || upload_.broken();
    return bytes_.in != taken || origin_.sent() != sent;
}

bool Tunnel::to_client() {
    const std::size_t waiting = client_.unsent();
    const std::uint64_t given = bytes_.out;
    client_blocks_ = false;
    if (origin_end_ == End::open) {
        const auto state = download_.move();
        client_blocks_ = state == Download::State::blocked;
        if (state == Download::State::failed) origin_end_ = End::cut;
        if (state == Download::State::complete) {
            origin_end_ = End::orderly;
            client_.finish({});
        }
        context_.counters.tunnel_sent.add(bytes_.out - given);
    }
    if (client_.flush() == Io::failed || client_.gone()) client_lost_ = true;
    client_blocks_ = client_blocks_ || client_.unsent() != 0;
    return bytes_.out != given || client_.unsent() < waiting;
}

}  // namespace nearhop::exchange
