#include "proxy/client/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <new>
#include <string_view>

namespace nearhop::client {

using admin::Http2End;
using exchange::Fault;
using loop::Io;
using loop::TimePoint;

namespace {

constexpr std::size_t most_free = 1024;         // streams that a burst leaves behind
constexpr std::uint32_t first_window = 65'535;  // of a stream, until a client has seen our SETTINGS
constexpr std::size_t most_cut = 1000;          // streams whose end a client may not have seen yet

std::string_view view(const std::uint8_t* bytes, std::size_t size) {
    return {reinterpret_cast<const char*>(bytes), size};
}

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

void Http2Session::Delete::operator()(nghttp2_session* session) const noexcept { nghttp2_session_del(session); }

Http2Session::Http2Session(Http2Host& host, Http2Streams& pool, wire::Stream& stream, loop::Wake& wake,
                           loop::Timer& timer, const conf::Http2& limits, admin::WorkerCounters& counters)
    : host_{host},
      pool_{pool},
      stream_{stream},
      wake_{wake},
      timer_{timer},
      counters_{counters},
      meter_{limits, wake.loop().now()},
      memory_{pool.blocks()},
      session_{make(limits)},
      most_open_{limits.streams},
      crumbs_{limits.cookie_crumbs},
      window_{std::max(static_cast<std::uint32_t>(limits.stream_window), first_window)},
      cut_{std::min<std::size_t>(std::size_t{limits.streams} + limits.resets, most_cut)},
      frame_left_{NGHTTP2_CLIENT_MAGIC_LEN},
      idle_since_{wake.loop().now()},
      send_progress_{idle_since_} {
    announce(limits);
    counters_.http2_sessions.add();
    wants_send_ = true;
    host_.wants_send();
}

/// Our SETTINGS and the connection's window. nghttp2 ends a connection that has more streams than it was told
/// (PROTOCOL_ERROR), where refusing the stream will do (RFC 9113 section 5.1.2): we count them ourselves, and only the
/// client is told of their limit.
void Http2Session::announce(const conf::Http2& limits) {
    const auto number = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };
    const std::array settings{
        nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, NGHTTP2_MAX_WINDOW_SIZE},  // as good as none
        nghttp2_settings_entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, number(limits.stream_window)},
        nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, number(host_.limits().head_bytes)},
        nghttp2_settings_entry{NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, number(limits.table_bytes)},
        // No tree of dependencies for a client to shuffle (CVE-2019-9513).
        nghttp2_settings_entry{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
    };
    nghttp2_submit_settings(session_.get(), NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    const std::uint8_t* frame = nullptr;
    const auto size = nghttp2_session_mem_send(session_.get(), &frame);
    constexpr std::size_t before_value = FrameHead::bytes + 2;  // of the first entry
    if (size < static_cast<ssize_t>(before_value + 4)) throw std::bad_alloc{};
    frames_.append(view(frame, static_cast<std::size_t>(size)));
    for (std::size_t i = 0; i < 4; ++i)
        frames_.data()[before_value + i] = static_cast<char>(most_open_ >> (24 - 8 * i) & 0xff);
    nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, 0,
                                          static_cast<std::int32_t>(limits.connection_window));
}

Http2Session::~Http2Session() {
    for (auto& stream : streams_) pool_.give(std::move(stream));
}

/// False when the verdict ends the session; the caller stops nghttp2 with it.
bool Http2Session::judge(Http2End verdict) noexcept {
    if (verdict == Http2End::open) return true;
    if (verdict_ == Http2End::open) verdict_ = verdict;
    return false;
}

bool Http2Session::turn() {
    if (over_) return false;
    const bool more = read();
    if (!begun_.empty()) {
        // What nghttp2 has found wrong closes its stream once the reset is written: no exchange begins for that.
        serialise();
        start_begun();
    }
    check_times();
    // Also what the socket did not take: it notifies the Wake when it would. And a client that has gone away: send()
    // ends the session once nothing is left to do.
    if (!wants_send_ && (stream_.unsent() != 0 || !frames_.empty() || nghttp2_session_want_write(session_.get()) != 0 ||
                         nghttp2_session_want_read(session_.get()) == 0)) {
        wants_send_ = true;
        host_.wants_send();
    }
    arm();
    return more;
}

/// Requests that were cancelled in the bytes that brought them never reach an exchange (CVE-2023-44487).
void Http2Session::start_begun() {
    for (auto* stream : begun_) {
        const bool told = stream->closed_ && stream->fault_ == Fault::client_bad_framing;  // by a reset
        if ((stream->closed_ && !told) || end_ != Http2End::open) {
            stream->finished_ = true;
            if (stream->closed_) ++ready_to_go_;
            continue;
        }
        stream->running_ = true;
        ++running_;
        stream->task_ = stream->run();
        stream->task_.start();
    }
    begun_.clear();
}

void Http2Session::send() {
    wants_send_ = false;
    if (over_) return sweep();
    const auto now = wake_.loop().now();
    for (unsigned round = 0;; ++round) {
        const auto before = stream_.sent;
        serialise();
        write_frames();
        const Io done = stream_.flush();
        if (stream_.sent != before) send_progress_ = now;
        if (done == Io::failed) {
            end(Http2End::closed, NGHTTP2_NO_ERROR);
            over_ = true;
            break;
        }
        if (verdict_ != Http2End::open && end_ == Http2End::open) {
            // Found while sending: our own resets, or nghttp2's GOAWAY that has just left.
            end(verdict_, verdict_ == Http2End::made_reset ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_NO_ERROR);
            continue;
        }
        if (end_ != Http2End::open) {
            over_ = true;
            break;
        }
        if (!held_back_ || done == Io::blocked) break;
        if (round == rounds_per_turn) {
            wake_.notify();
            break;
        }
    }
    sweep();
    // A stream is over when its last frame was written, not when it left.
    if (!over_ && streams_.empty() && stream_.unsent() == 0 && nghttp2_session_want_read(session_.get()) == 0 &&
        nghttp2_session_want_write(session_.get()) == 0) {
        end(went_away_ ? Http2End::drained : Http2End::closed, NGHTTP2_NO_ERROR);
        over_ = true;
    }
    // What came meanwhile is read now: the socket does not say so again.
    if (over_ || (unread_ && stream_.unsent() < wire::Stream::high_water)) wake_.notify();
    arm();
}

/// Takes from nghttp2 what it has to say, as far as that fits into what leaves at once.
void Http2Session::serialise() {
    held_back_ = !has_room(1);
    while (!held_back_) {
        const std::uint8_t* bytes = nullptr;
        const auto size = nghttp2_session_mem_send(session_.get(), &bytes);
        if (size < 0) throw std::bad_alloc{};
        if (size == 0) break;
        frames_.append(view(bytes, static_cast<std::size_t>(size)));
        held_back_ = !has_room(1);
    }
}

void Http2Session::write_frames() {
    if (frames_.empty()) return;
    stream_.write(frames_.view());
    frames_.clear();
    frames_.release();
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

void Http2Session::output(Http2Stream& stream) {
    if (stream.deferred_ && (!stream.out_.empty() || stream.complete_ || stream.aborted_)) {
        stream.deferred_ = false;
        nghttp2_session_resume_data(session_.get(), stream.id_);
    }
    if (wants_send_) return;
    wants_send_ = true;
    host_.wants_send();
}

void Http2Session::consume(Http2Stream& stream, std::size_t bytes) {
    if (over_) return;
    if (stream.closed_)
        nghttp2_session_consume_connection(session_.get(), bytes);
    else
        nghttp2_session_consume(session_.get(), stream.id_, bytes);
    if (wants_send_ || nghttp2_session_want_write(session_.get()) == 0) return;
    wants_send_ = true;
    host_.wants_send();
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
        stream.tail_.begin(wake_.loop().now(), stream.sent_);
        check_at_ = std::min(check_at_, stream.tail_.due(host_.limits().write_timeout));
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
    if (stream.discarded_ <= host_.limits().drain_bytes)
        consume(stream, bytes);
    else if (!over_)
        nghttp2_session_consume_connection(session_.get(), bytes);
}

/// The end of the answer is on its way, and the request has not ended: the rest of it is not wanted (RFC 9113 section
/// 8.1). The reset that says so waits a moment: clients lose an answer that they read together with it (libcurl 7.88).
void Http2Session::answered(Http2Stream& stream) noexcept {
    stream.answered_ = true;
    stream.reset_at_ = wake_.loop().now() + host_.limits().drain_time;
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

}  // namespace nearhop::client
