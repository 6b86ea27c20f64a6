#include "proxy/exchange/relay.h"

#include <algorithm>
#include <string>
#include <utility>

namespace nearhop::exchange {

using loop::Io;
using wire::Stream;

namespace {

constexpr std::uint64_t fair_share = 512 * 1024;  // relayed in one turn, while other sessions wait

}  // namespace

Relay::Relay(const To& to, message::Source& source, std::uint64_t& bytes, const How& how, std::optional<Origin> origin)
    : context_{to.context},
      wake_{to.wake},
      timer_{to.timer},
      client_{to.client},
      source_{source},
      bytes_{bytes},
      how_{how},
      origin_{origin},
      download_{source, to.client, bytes},
      uploaded_{origin ? origin->channel.sent() : 0},
      progress_{to.context.loop.now()} {}

loop::Task<Fault> Relay::run() {
    std::uint64_t turn_began = bytes_;
    for (;;) {
        // A fast origin and a fast client together would never have to wait.
        if (bytes_ - turn_began >= fair_share) {
            co_await wake_.yield();
            turn_began = bytes_;
        }
        const std::uint64_t before = bytes_;
        const auto state = download_.move();
        if (state == Download::State::failed) {
            client_.flush();
            co_return cut(source_.fault());
        }
        if (state == Download::State::complete) {
            finish();
            if (how_.sends_apart) co_await wake_.yield_if_crowded();
        }
        const std::size_t queued = client_.unsent();
        if (client_.flush() == Io::failed) co_return cut(client_.why_gone());
        if (state == Download::State::complete) co_return Fault::none;
        const bool moved = note_progress(bytes_ != before);
        const auto now = context_.loop.now();
        if (const Fault fault = send_rest(now); fault != Fault::none) co_return cut(fault);
        const bool full = client_.unsent() >= Stream::high_water;
        if (!full && queued >= Stream::high_water) continue;
        if (client_.gone()) co_return cut(client_.why_gone());
        if (context_.ends()) co_return cut(Fault::edge_stopped);
        const Fault late = judge(now, state == Download::State::blocked || full, moved);
        if (late != Fault::none) co_return cut(late);
        co_await wake_.wait();
        turn_began = bytes_;
    }
}

void Relay::finish() {
    std::string trailers;
    const message::TrailerRules rules{.agent_header = how_.agent_header, .keep_underscores = true};
    clean_ = message::filter_trailers(source_.trailers(), source_.head().fields, rules, trailers);
    if (!clean_) trailers.clear();
    client_.finish(trailers);
}

/// Whether the answer has moved in this turn: to the client's side, which was `given` some, or on from there.
bool Relay::note_progress(bool given) noexcept {
    if (given && origin_) origin_->silence.heard(context_.loop.now());
    // Not what this flush took: HTTP/2 sends between turns, and plain HTTP/1.1 as it writes. What is queued may count
    // for more than its body: records, chunk heads.
    const std::uint64_t so_far = bytes_ - std::min<std::uint64_t>(bytes_, client_.unsent());
    if (so_far <= delivered_) return given;
    delivered_ = so_far;
    return true;
}

Fault Relay::send_rest(loop::TimePoint now) {
    if (!origin_ || (origin_->upload.complete() && origin_->channel.is_sent())) return Fault::none;
    return origin_->upload.move(client_, origin_->channel, origin_->terms, now);
}

/// Who is awaited, and whether that takes too long; the timer is set to when to ask again.
Fault Relay::judge(loop::TimePoint now, bool client_blocks, bool moved) {
    bool client_sends = false;
    if (origin_) {
        auto& origin = *origin_;
        const bool keeps_back = origin.keeps_back && origin.terms.read == 0;
        client_sends = !client_blocks && origin.upload.waits_for_client(origin.channel) && !keeps_back;
        // An origin that answers early may well want the whole request before it goes on.
        const std::uint64_t sent = origin.channel.sent();
        if (std::exchange(uploaded_, sent) != sent) progress_ = now;
        // Nor does a client hold anybody up that listens to an answer on its way.
        if (!client_sends || moved) origin.upload.pace.rest();
    }
    if (moved || client_sends) progress_ = now;
    const auto& limits = how_.limits;
    auto due = progress_ + how_.body_timeout;
    if (download_.is_too_slow(now, client_blocks)) return Fault::client_write_timeout;
    if (client_blocks) {
        due = download_.due();
    } else if (client_sends) {
        auto& pace = origin_->upload.pace;
        if (pace.is_too_slow(now, origin_->terms.read, limits.body_timeout, limits.body_rate))
            return Fault::client_body_timeout;
        due = pace.due(limits.body_timeout);
    } else if (now >= due) {
        return Fault::origin_body_timeout;
    }
    timer_.expires_at(due);
    return Fault::none;
}

}  // namespace nearhop::exchange
