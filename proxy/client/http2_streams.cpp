#include "proxy/client/http2_session.h"
#include "proxy/client/linger.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>

/// The streams of a session: opened, refused, answered, closed, and freed when both sides are done.
namespace nearhop::client {

using account::Fault;

namespace {

constexpr std::size_t most_free = 1024;  // that a burst leaves behind

}  // namespace

std::unique_ptr<Http2Stream> Http2Streams::take() {
    if (free_.empty()) return std::make_unique<Http2Stream>(loop_);
    auto stream = std::move(free_.back());
    free_.pop_back();
    return stream;
}

void Http2Streams::give(std::unique_ptr<Http2Stream> stream) noexcept {
    stream->recycle();
    if (free_.capacity() == 0) free_.reserve(most_free);
    if (free_.size() < most_free) free_.push_back(std::move(stream));
}

/// The exchange is over. What it left unsent leaves without it, watched by check_times().
void Http2Session::stream_finished(Http2Stream& stream) noexcept {
    stream.finished_ = true;
    stream.running_ = false;
    --running_;
    if (!stream.in_.empty()) {
        discard(stream, stream.in_.size());
        stream.in_.clear();
    }
    if (stream.closed_) {
        ++ready_to_go_;
        if (running_ == 0) wake_.notify();
    } else {
        if (!stream.complete_)
            stream.abort();
        else if (stream.tunnel_ && nghttp2_session_get_stream_local_close(session_.get(), stream.id_) == 1)
            answered(stream);
        stream.reader_.await(true, wake_.loop().now());
        check_at_ = std::min(check_at_, stream.reader_.due());
    }
    output(stream);
}

Http2Stream* Http2Session::find(std::int32_t id) const noexcept {
    return static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session_.get(), id));
}

void Http2Session::open_stream(std::int32_t id) {
    streams_.push_back(pool_.take());
    auto& stream = *streams_.back();
    stream.place_ = streams_.size() - 1;
    stream.open(*this, id);
    nghttp2_session_set_stream_user_data(session_.get(), id, &stream);
    ++open_;
    ++requests_;
    counters_.http2_streams.add();
}

/// A stream that is not served (RFC 9113 section 8.7): its client may repeat the request. False: once too often.
bool Http2Session::refuse_stream(std::int32_t id) {
    counters_.http2_refused.add();
    if (!went_away_) cut_.add(id, window_);  // else it is among them already
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    return judge(meter_.edge_reset(wake_.loop().now()));
}

/// Body bytes that nobody will read. Some are taken, so that a client which is nearly done comes to its end.
void Http2Session::discard(Http2Stream& stream, std::size_t bytes) noexcept {
    stream.discarded_ += bytes;
    if (stream.discarded_ <= std::min(host_.limits().drain_bytes, Linger::few_bytes))
        consume(stream, bytes);
    else if (!over_)
        nghttp2_session_consume_connection(session_.get(), bytes);
}

/// The end of the answer is on its way, and the request has not ended: the rest of it is not wanted (RFC 9113 section
/// 8.1). The reset that says so waits a moment: clients lose an answer that they read together with it (libcurl 7.88).
void Http2Session::answered(Http2Stream& stream) noexcept {
    stream.answered_ = true;
    stream.reset_at_ = wake_.loop().now() + std::min(host_.limits().drain_time, Linger::moment);
    check_at_ = std::min(check_at_, stream.reset_at_);
}

void Http2Session::stream_closed(Http2Stream& stream, std::uint32_t code) {
    --open_;
    if (!stream.remote_ended_ && !stream.client_reset_) cut_.add(stream.id_, window_);
    const bool begins = std::find(begun_.begin(), begun_.end(), &stream) != begun_.end();
    // Found before its exchange begins: a body that is not what the head says, or malformed trailers.
    if (begins && code == NGHTTP2_PROTOCOL_ERROR && !stream.client_reset_) stream.refuse(Fault::client_bad_framing);
    // A stream whose head was never complete has no exchange to wait for.
    if (!stream.running_ && !begins) stream.finished_ = true;
    stream.closed();
    if (stream.finished_) ++ready_to_go_;
}

/// Frees streams that are over on both sides; buffers follow when the last one is gone.
void Http2Session::sweep() {
    if (ready_to_go_ == 0) return;
    for (std::size_t i = 0; i < streams_.size();) {
        auto& stream = streams_[i];
        if (!stream->finished_ || !stream->closed_) {
            ++i;
            continue;
        }
        // Nobody will read it; the connection's window must not shrink by it.
        if (!over_ && !stream->in_.empty()) nghttp2_session_consume_connection(session_.get(), stream->in_.size());
        pool_.give(std::move(stream));
        if (i + 1 != streams_.size()) {
            stream = std::move(streams_.back());
            stream->place_ = i;
        }
        streams_.pop_back();
    }
    ready_to_go_ = 0;
    if (streams_.empty()) {
        idle_since_ = wake_.loop().now();
        released_ = false;
    }
}

}  // namespace nearhop::client
