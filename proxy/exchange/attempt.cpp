#include "proxy/exchange/attempt.h"

#include "proxy/exchange/course.h"
#include "proxy/wire/diagnose.h"

#include <algorithm>

namespace nearhop::exchange {

using loop::Io;
using wire::Deviation;
using wire::Framing;

namespace {
constexpr unsigned most_fields = 1000;  // of an answer
constexpr std::size_t read_ahead =
    wire::Stream::largest_write;  // response bytes taken from the socket before the client has them
}  // namespace

void Replay::begin(const Framing& framing, std::uint64_t limit, std::uint64_t total_limit) noexcept {
    limit_ = limit;
    total_limit_ = total_limit;
    // A body that is announced too long is not copied at all: it stops being whole with its first byte.
    if (framing.kind == Framing::Kind::length && framing.length > limit) limit_ = 0;
}

void Replay::remember(std::string_view bytes) {
    if (!whole_ || bytes.empty()) return;
    if (bytes_.size() + bytes.size() > limit_ || context_.replay_bytes + bytes.size() > total_limit_) {
        forget();
        whole_ = false;
        return;
    }
    bytes_ += bytes;
    context_.replay_bytes += bytes.size();
    context_.counters.replay_bytes.add(bytes.size());
}

void Replay::forget() noexcept {
    context_.replay_bytes -= bytes_.size();
    context_.counters.replay_bytes.subtract(bytes_.size());
    bytes_.clear();
}

void Attempt::begin(std::unique_ptr<origin::Connection> leased, std::string_view request_method,
                    const conf::Limits& limits, std::string_view upgrade) {
    forget();
    upgrade_ = upgrade;
    connection = std::move(leased);
    method_ = request_method;
    limits_ = &limits;
    head_.status = 0;
    decoder_ = wire::ChunkedDecoder{limits.chunk_line_bytes, limits.trailer_bytes};
}

void Attempt::reset() noexcept {
    dial.reset();
    trial = false;
    forget();
    slot.release();
    counted.release();
}

void Attempt::forget() noexcept {
    connection.reset();
    writer_.clear();
    head_bytes_.clear();
    head_bytes_.release();
    head_.fields.clear();
    mended_.clear();
    scan_.reset();
    framing_ = {};
    replayed_ = 0;
    left_ = 0;
    chunk_ = {};
    chunk_used_ = 0;
    interims_ = 0;
    begun = request_complete_ = starved_ = write_broken_ = received_any_ = body_complete_ = keep_alive_ = false;
    sent_at = {};
    fault_ = Fault::none;
    deviations_ = {};
}

Fault Attempt::pump(Codec& client, const Request& request, const TrailerRules& trailers, Replay& replay,
                    std::uint64_t body_limit, std::uint64_t& body_read) {
    for (;;) {
        const Fault fault = queue_body(client, request, trailers, replay, body_limit, body_read);
        if (fault != Fault::none || write_broken_) return fault;
        const bool full = writer_.queued(connection->stream) >= wire::Stream::high_water;
        const Io sent = writer_.flush(connection->stream);
        if (sent == Io::failed) write_broken_ = true;  // an answer may still be there to read
        // What stood in the way has left, and neither side would notify again: what the client sent is here already.
        if (!full || sent != Io::ok) return Fault::none;
    }
}

/// Moves body bytes from the client to the origin's queue until it is full or there are none at hand.
Fault Attempt::queue_body(Codec& client, const Request& request, const TrailerRules& trailers, Replay& replay,
                          std::uint64_t body_limit, std::uint64_t& body_read) {
    const bool chunked = request.framing.kind == Framing::Kind::chunked;
    starved_ = false;
    while (!request_complete_ && !write_broken_) {
        if (replayed_ < replay.bytes().size()) {
            const std::size_t taken = writer_.write(connection->stream, replay.bytes().substr(replayed_), chunked);
            if (taken == 0) break;
            replayed_ += taken;
            continue;
        }
        // Without a body there is nothing to ask for: what follows the head may belong to another protocol.
        const auto body = request.framing.has_body() ? client.body() : Codec::Body{{}, true, Fault::none};
        if (body.fault != Fault::none) return body.fault;
        if (body.bytes.empty()) {
            if (!body.complete) {
                starved_ = true;
                if (sent_at == loop::TimePoint{}) sent_at = context_.loop.now();
                break;
            }
            std::string lines;
            if (chunked && !filter_trailers(client.request_trailers(), request.fields, trailers, lines))
                return Fault::client_bad_framing;
            writer_.finish(chunked, lines);
            request_complete_ = true;
            sent_at = context_.loop.now();
            break;
        }
        if (body_limit != 0 && body_read + body.bytes.size() > body_limit) return Fault::client_body_too_large;
        const std::size_t taken = writer_.write(connection->stream, body.bytes, chunked);
        if (taken == 0) break;
        replay.remember(body.bytes.substr(0, taken));
        replayed_ = replay.bytes().size();
        body_read += taken;
        client.consume_body(taken);
    }
    return Fault::none;
}

void Attempt::note(Deviation found) noexcept {
    if (found == Deviation::none || deviations_.has(found)) return;
    deviations_.add(found);
    context_.counters.origin_deviations[static_cast<std::size_t>(found)].add();
}

void Attempt::drop_field(std::string_view name) {
    std::erase_if(head_.fields,
                  [name](const wire::Field& field) { return wire::equal_ignoring_case(field.name, name); });
}

Attempt::Progress Attempt::receive_head() {
    auto& stream = connection->stream;
    const auto limit =
        static_cast<std::size_t>(std::min<std::uint64_t>(limits_->origin_head_bytes, wire::largest_head));
    for (;;) {
        switch (stream.in().empty() ? wire::HeadScan::State::more : scan_.scan(stream.in().view())) {
            case wire::HeadScan::State::malformed: return bad_response(wire::diagnose_response(stream.in().view()));
            case wire::HeadScan::State::more: break;
            case wire::HeadScan::State::complete: {
                const std::size_t size = scan_.size();
                if (size > limit) return bad_response(Deviation::endless_head);
                head_bytes_.clear();
                head_bytes_.append(stream.in().view().substr(0, size));
                stream.in().consume(size);
                scan_.reset();
                return judge_head();
            }
        }
        if (stream.in().size() >= limit) return bad_response(Deviation::endless_head);
        switch (stream.fill(std::max<std::size_t>(limit, 16 * 1024))) {
            case Io::ok: received_any_ = true; continue;
            case Io::blocked: return Progress::pending;
            case Io::closed:
            case Io::failed:
                if (received_any_) return bad_response(Deviation::cut_head);
                // Its TLS ended the handshake instead of giving the request on. Not on a connection that has served.
                if (stream.tls_failure().is_refusal() && !connection->reused()) return fail(Fault::origin_tls);
                return fail(connection->reused() && is_young() ? Fault::origin_stale : Fault::origin_reset);
        }
    }
}

bool Attempt::is_young() const noexcept {
    return sent_at == loop::TimePoint{} || context_.loop.now() < sent_at + stale_within;
}

/// What the whole head in head_bytes_ says.
Attempt::Progress Attempt::judge_head() {
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
            if (upgrade_.empty() || !switches_to(head_.fields, upgrade_))
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
    connection->idle_limit = origin::idle_limit_of(wire::keep_alive_timeout(head_.fields));
    return Progress::head;
}

Attempt::Body Attempt::body(std::string_view& bytes) {
    const auto truncated = [this] {
        fault_ = Fault::origin_truncated;
        return Body::failed;
    };
    auto& stream = connection->stream;
    for (;;) {
        if (body_complete_) return Body::complete;
        const std::string_view in = stream.in().view();
        switch (framing_.kind) {
            case Framing::Kind::none: body_complete_ = true; continue;
            case Framing::Kind::length:
                if (left_ == 0) {
                    body_complete_ = true;
                    continue;
                }
                bytes = in.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size())));
                break;
            case Framing::Kind::until_close: bytes = in; break;
            case Framing::Kind::chunked: {
                if (chunk_.empty()) {
                    const auto step = decoder_.next(in);
                    if (step.result == wire::ChunkedDecoder::Result::malformed) {
                        note(decoder_.deviation());
                        fault_ = Fault::origin_bad_response;
                        return Body::failed;
                    }
                    chunk_ = step.data;
                    chunk_used_ = step.used;
                    if (step.result != wire::ChunkedDecoder::Result::data) stream.in().consume(step.used);
                    if (step.result == wire::ChunkedDecoder::Result::done) {
                        note(decoder_.deviation());
                        body_complete_ = true;
                        continue;
                    }
                }
                bytes = chunk_;
                break;
            }
        }
        if (!bytes.empty()) return Body::data;
        switch (stream.fill(read_ahead)) {
            case Io::ok: continue;
            case Io::blocked: return Body::pending;
            case Io::closed:
                // RFC 9112 section 9.8: over TLS only close_notify says that the body is whole.
                if (framing_.kind != Framing::Kind::until_close || !stream.ended_orderly()) return truncated();
                body_complete_ = true;
                continue;
            case Io::failed: return truncated();
        }
    }
}

void Attempt::consume_body(std::size_t bytes) noexcept {
    auto& in = connection->stream.in();
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

void Attempt::look_behind() noexcept {
    if (body_complete_ && framing_.kind != Framing::Kind::until_close && !connection->stream.in().empty())
        note(Deviation::bytes_after_response);
}

bool Attempt::reusable() const noexcept {
    return connection && keep_alive_ && body_complete_ && request_complete_ && !write_broken_ &&
           connection->stream.in().empty() && connection->stream.unsent() == 0;
}

}  // namespace nearhop::exchange
