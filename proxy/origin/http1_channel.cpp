#include "proxy/origin/http1_channel.h"

#include "proxy/origin/pool.h"
#include "proxy/wire/diagnose.h"

#include <algorithm>

namespace nearhop::origin {

using account::Fault;
using loop::Io;
using wire::Deviation;
using wire::Framing;

namespace {
constexpr unsigned most_fields = 1000;  // of an answer
constexpr std::size_t read_ahead =
    wire::Stream::largest_write;  // response bytes taken from the socket before the client has them
}  // namespace

void Http1Channel::open(std::unique_ptr<Connection> lent, const conf::Limits& limits) {
    reset();
    connection_ = std::move(lent);
    limits_ = &limits;
    decoder_ = wire::ChunkedDecoder{limits.chunk_line_bytes, limits.trailer_bytes};
}

void Http1Channel::reset() noexcept {
    connection_.reset();
    forget_head();
    writer_.clear();
    head_bytes_.clear();
    head_bytes_.release();
    scan_.reset();
    left_ = 0;
    chunk_ = {};
    chunk_used_ = 0;
    interims_ = 0;
    chunked_out_ = request_ended_ = deaf_ = tunnel_ = told_end_ = false;
    received_any_ = body_complete_ = keep_alive_ = false;
    sent_at = {};
    deviations_ = {};
}

void Http1Channel::send_head(const message::RequestStart& start) {
    method_ = start.request.method;
    upgrade_ = start.forwarding.upgrade;
    chunked_out_ = start.request.framing.kind == Framing::Kind::chunked;
    write_request_head(start.request, start.forwarding, start.site, start.origin, writer_.staging());
}

std::size_t Http1Channel::send_body(std::string_view bytes) {
    return deaf_ ? 0 : writer_.write(connection_->stream, bytes, chunked_out_);
}

void Http1Channel::end_body(std::string_view trailers) {
    if (!tunnel_) writer_.finish(chunked_out_, trailers);
    request_ended_ = true;
}

Io Http1Channel::flush() {
    if (deaf_) return Io::failed;
    auto& stream = connection_->stream;
    const Io sent = writer_.flush(stream);
    if (sent == Io::failed || (tunnel_ && stream.socket().broken())) {
        deaf_ = true;
        return Io::failed;
    }
    if (tunnel_ && sent == Io::ok && request_ended_ && !told_end_) {
        told_end_ = true;
        stream.close_notify();
        stream.flush();
        stream.socket().shutdown_write();
    }
    return sent;
}

void Http1Channel::note(Deviation found) noexcept {
    if (found == Deviation::none || deviations_.has(found)) return;
    deviations_.add(found);
    counters_.origin_deviations[static_cast<std::size_t>(found)].add();
}

Channel::Progress Http1Channel::receive_head() {
    auto& stream = connection_->stream;
    const auto limit =
        static_cast<std::size_t>(std::min<std::uint64_t>(limits_->origin_head_bytes, wire::largest_head));
    for (;;) {
        switch (stream.in().empty() ? wire::HeadScan::State::more : scan_.scan(stream.in().view())) {
            case wire::HeadScan::State::malformed: return bad_response(wire::diagnose_response(stream.in().view()));
            case wire::HeadScan::State::more: break;
            case wire::HeadScan::State::complete:
                if (scan_.size() > limit) return bad_response(Deviation::endless_head);
                return take_head(scan_.size());
        }
        if (stream.in().size() >= limit) return bad_response(Deviation::endless_head);
        switch (stream.fill(std::max<std::size_t>(limit, 16 * 1024))) {
            case Io::ok: received_any_ = true; continue;
            case Io::blocked: return Progress::pending;
            case Io::closed:
            case Io::failed: return end_without_head();
        }
    }
}

Channel::Progress Http1Channel::take_head(std::size_t size) {
    auto& in = connection_->stream.in();
    head_bytes_.clear();
    head_bytes_.append(in.view().substr(0, size));
    in.consume(size);
    scan_.reset();
    return judge_head();
}

/// The connection has ended instead.
Channel::Progress Http1Channel::end_without_head() noexcept {
    if (received_any_) return bad_response(Deviation::cut_head);
    const bool reused = connection_->reused();
    // Its TLS ended the handshake instead of giving the request on. Not on a connection that has served.
    if (connection_->stream.tls_failure().is_refusal() && !reused) return fail(Fault::origin_tls);
    return fail(reused && is_young() ? Fault::origin_stale : Fault::origin_reset);
}

bool Http1Channel::is_young() const noexcept {
    return sent_at == loop::TimePoint{} || loop_.now() < sent_at + stale_within;
}

/// What the whole head in head_bytes_ says.
Channel::Progress Http1Channel::judge_head() {
    switch (wire::parse_response(head_bytes_.view(), most_fields, head_)) {
        case wire::HeadError::none: break;
        case wire::HeadError::too_many_fields: return bad_response(Deviation::endless_head);
        default: return bad_response(wire::diagnose_response(head_bytes_.view()));
    }
    if (head_.status < 200 || head_.status == 204)
        for (const auto& field : head_.fields)
            if (field.id == wire::Name::content_length || field.id == wire::Name::transfer_encoding)
                note(Deviation::length_without_content);
    if (head_.status < 200) {
        if (head_.status == 101) {
            if (upgrade_.empty() || !message::switches_to(head_.fields, upgrade_))
                return bad_response(Deviation::unasked_switch);
            return Progress::head;  // framing none, never reusable: what follows is not HTTP
        }
        if (++interims_ > limits_->origin_interim_responses) return bad_response(Deviation::interim_flood);
        return Progress::interim;
    }
    const auto framing = wire::response_framing(head_, method_);
    if (!framing) return bad_response(wire::diagnose_response(head_bytes_.view()));
    framing_ = *framing;
    left_ = framing_.length;
    keep_alive_ = framing_.kind != Framing::Kind::until_close && wire::keeps_alive(head_.minor, head_.fields);
    connection_->idle_limit = idle_limit_of(wire::keep_alive_timeout(head_.fields));
    return Progress::head;
}

Channel::Body Http1Channel::body(std::string_view& bytes) {
    auto& stream = connection_->stream;
    for (;;) {
        const Body at_hand = buffered_body(bytes);
        if (at_hand != Body::pending) return at_hand;
        switch (stream.fill(read_ahead)) {
            case Io::ok: continue;
            case Io::blocked: return Body::pending;
            case Io::closed:
                // RFC 9112 section 9.8: over TLS only close_notify says that the body is whole.
                if (framing_.kind != Framing::Kind::until_close || !stream.ended_orderly())
                    return fail_body(Fault::origin_truncated);
                body_complete_ = true;
                return Body::complete;
            case Io::failed: return fail_body(Fault::origin_truncated);
        }
    }
}

Channel::Body Http1Channel::buffered_body(std::string_view& bytes) {
    if (body_complete_) return Body::complete;
    const std::string_view in = connection_->stream.in().view();
    switch (framing_.kind) {
        case Framing::Kind::none: body_complete_ = true; break;
        case Framing::Kind::length:
            body_complete_ = left_ == 0;
            bytes = in.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size())));
            break;
        case Framing::Kind::until_close: bytes = in; break;
        case Framing::Kind::chunked: return next_chunk(bytes);
    }
    if (body_complete_) return Body::complete;
    return bytes.empty() ? Body::pending : Body::data;
}

Channel::Body Http1Channel::next_chunk(std::string_view& bytes) {
    auto& in = connection_->stream.in();
    if (chunk_.empty()) {
        const auto step = decoder_.next(in.view());
        if (step.result == wire::ChunkedDecoder::Result::malformed) {
            note(decoder_.deviation());
            return fail_body(Fault::origin_bad_response);
        }
        chunk_ = step.data;
        chunk_used_ = step.used;
        if (step.result != wire::ChunkedDecoder::Result::data) in.consume(step.used);
        if (step.result == wire::ChunkedDecoder::Result::done) {
            note(decoder_.deviation());
            body_complete_ = true;
            return Body::complete;
        }
    }
    bytes = chunk_;
    return bytes.empty() ? Body::pending : Body::data;
}

void Http1Channel::consume_body(std::size_t bytes) noexcept {
    auto& in = connection_->stream.in();
    if (framing_.kind == Framing::Kind::chunked) {
        // The chunk's frame bytes before the data go with its first part.
        const std::size_t frame = chunk_used_ - chunk_.size();
        chunk_.remove_prefix(bytes);
        chunk_used_ -= frame + bytes;
        in.consume(frame + bytes);
        return;
    }
    if (framing_.kind == Framing::Kind::length) left_ -= bytes;
    in.consume(bytes);
    in.release();
}

void Http1Channel::begin_tunnel() noexcept {
    tunnel_ = true;
    request_ended_ = false;
    framing_.kind = Framing::Kind::until_close;
}

void Http1Channel::finish(bool clean) {
    if (!connection_ || !body_complete_) return;
    if (framing_.kind != Framing::Kind::until_close && !connection_->stream.in().empty())
        note(Deviation::bytes_after_response);
    if (clean && is_reusable()) connection_->pool().keep(std::move(connection_));
}

/// Whether the connection is fit for another request: complete both ways, nothing left over, keep-alive agreed.
bool Http1Channel::is_reusable() const noexcept {
    return keep_alive_ && request_ended_ && !deaf_ && connection_->stream.in().empty() && is_sent();
}

}  // namespace nearhop::origin
