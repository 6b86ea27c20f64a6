#include "proxy/client/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <new>
#include <span>

/// From the socket to nghttp2, one frame at a time: each is judged by its head before nghttp2 sees it.
namespace nearhop::client {

using account::Http2End;
using loop::Io;
using loop::TimePoint;

namespace {

constexpr std::size_t read_size = 64 * 1024;   // frames taken from the socket before they are handled
constexpr std::size_t largest_frame = 16'384;  // of a payload, until our SETTINGS say otherwise

bool is_part_of_head(const FrameHead& frame) noexcept {
    return frame.type == NGHTTP2_HEADERS || frame.type == NGHTTP2_CONTINUATION;
}

/// What a HEADERS or CONTINUATION frame has of a header block; empty where its padding is malformed.
std::span<char> fragment_of(const FrameHead& frame, char* payload) noexcept {
    std::size_t before = 0;
    std::size_t behind = 0;
    if (frame.type == NGHTTP2_HEADERS) {
        if (frame.has(NGHTTP2_FLAG_PADDED) && frame.length != 0) {
            behind = static_cast<unsigned char>(*payload);
            before = 1;
        }
        if (frame.has(NGHTTP2_FLAG_PRIORITY)) before += 5;
    }
    if (before + behind > frame.length) return {};
    return {payload + before, frame.length - before - behind};
}

}  // namespace

/// True when there may be more: others have their turn first.
bool Http2Session::read() {
    for (unsigned round = 0; round < rounds_per_turn && end_ == Http2End::open; ++round) {
        // A client that does not read is not read from: what it asks for cannot pile up here (CVE-2019-9517).
        unread_ = stream_.unsent() >= wire::Stream::high_water;
        if (unread_) return false;
        switch (stream_.fill(read_size)) {
            case Io::ok: feed(); continue;
            case Io::blocked: return false;
            case Io::closed:
            case Io::failed:
                end(Http2End::closed, NGHTTP2_NO_ERROR);
                over_ = true;
                return false;
        }
    }
    return end_ == Http2End::open;
}

/// Hands nghttp2 what came. What is left in the buffer is the beginning of a frame.
void Http2Session::feed() {
    auto& in = stream_.in();
    while (!in.empty() && end_ == Http2End::open) {
        bool head_ends = false;
        if (frame_left_ == 0) {
            if (in.size() < FrameHead::bytes) break;
            const auto frame = FrameHead::parse(in.view());
            if (is_part_of_head(frame)) {
                if (head_since_ == TimePoint::max()) head_since_ = wake_.loop().now();
                // Whole frames only: nothing depends on how a header block was cut into reads.
                if (frame.length <= largest_frame && in.size() < FrameHead::bytes + frame.length) break;
                head_ends = frame.has(NGHTTP2_FLAG_END_HEADERS);
            }
            if (!judge(admit(frame))) break;
            if (is_part_of_head(frame) && frame.length <= largest_frame) {
                if (frame.type == NGHTTP2_HEADERS) {
                    block_bytes_ = 0;
                    large_values_.begin_block();
                }
                block_bytes_ += frame.length;
                large_values_.pass(fragment_of(frame, in.data() + FrameHead::bytes));
            }
            frame_left_ = FrameHead::bytes + frame.length;
        }
        const auto size = std::min(frame_left_, in.size());
        const auto used =
            nghttp2_session_mem_recv(session_.get(), reinterpret_cast<const std::uint8_t*>(in.data()), size);
        frame_left_ -= size;
        in.consume(size);
        if (head_ends) head_since_ = TimePoint::max();
        if (verdict_ != Http2End::open) break;
        if (used < 0) end_for(static_cast<int>(used));
    }
    if (verdict_ != Http2End::open)
        end(verdict_, verdict_ == Http2End::protocol_error ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_ENHANCE_YOUR_CALM);
    if (end_ != Http2End::open) in.clear();
    in.release();
}

/// What nghttp2 found to be fatal.
void Http2Session::end_for(int error) {
    switch (error) {
        case NGHTTP2_ERR_FLOODED:
        case NGHTTP2_ERR_TOO_MANY_SETTINGS: end(Http2End::control_flood, NGHTTP2_ENHANCE_YOUR_CALM); return;
        case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS: end(Http2End::continuation_flood, NGHTTP2_ENHANCE_YOUR_CALM); return;
        case NGHTTP2_ERR_NOMEM:
        case NGHTTP2_ERR_CALLBACK_FAILURE: throw std::bad_alloc{};
        default: end(Http2End::protocol_error, NGHTTP2_PROTOCOL_ERROR); return;
    }
}

/// What a frame's head alone says. nghttp2 passes over some of it: PRIORITY on stream 0 (RFC 9113 section 6.3), a
/// request on a number below one that was used (section 5.1.1), any number of DATA frames on streams that are gone.
Http2End Http2Session::admit(const FrameHead& frame) {
    const auto now = wake_.loop().now();
    const bool by_client = frame.stream % 2 == 1;
    if (frame.type == NGHTTP2_RST_STREAM) counters_.http2_client_resets.add();
    if (frame.type == NGHTTP2_PRIORITY && frame.stream == 0) return Http2End::protocol_error;
    if (frame.type == NGHTTP2_HEADERS && by_client && frame.stream > newest_) {
        newest_ = frame.stream;
        if (went_away_) cut_.add(frame.stream, window_);  // behind the last GOAWAY it is passed over
    } else if (by_client && frame.stream <= newest_) {
        const auto* stream = find(frame.stream);
        // Not to send the rest of a request that was answered is what its client should do.
        if (frame.type == NGHTTP2_RST_STREAM && stream && stream->answered_) return Http2End::open;
        if (!stream && frame.type == NGHTTP2_RST_STREAM) {
            // Not one more stream that it cancels: some clients answer each late DATA frame with one (python3-h2).
            cut_.ended(frame.stream);
            return meter_.late_reset(now);
        }
        if (!stream)
            if (const auto verdict = admit_dead(frame); verdict != Http2End::open) return verdict;
    }
    return meter_.frame(frame.type, frame.flags, frame.length, now);
}

/// A frame on a stream that is gone: free where it was under way when the edge closed the stream.
Http2End Http2Session::admit_dead(const FrameHead& frame) {
    const auto now = wake_.loop().now();
    switch (frame.type) {
        case NGHTTP2_HEADERS: {
            const bool trailers = cut_.has(frame.stream);
            cut_.ended(frame.stream);
            return trailers ? meter_.control(now) : Http2End::protocol_error;
        }
        case NGHTTP2_DATA: {
            const bool free = cut_.take(frame.stream, frame.length);
            if (frame.has(NGHTTP2_FLAG_END_STREAM)) cut_.ended(frame.stream);
            return free ? Http2End::open : meter_.control(now);
        }
        default: return Http2End::open;
    }
}

}  // namespace nearhop::client
