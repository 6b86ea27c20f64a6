#include "proxy/client/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <new>
#include <string_view>

namespace nearhop::client {

using admin::Http2End;
using loop::Io;
using loop::TimePoint;

namespace {

constexpr std::size_t read_size = 64 * 1024;  // frames taken from the socket before they are handled
constexpr unsigned rounds_per_turn = 8;       // of reading or of sending, while other sessions wait
constexpr std::size_t most_free = 1024;       // streams that a burst leaves behind

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
      idle_since_{wake.loop().now()} {
    reader_.begin(stream_.sent, host_.limits().write_timeout, host_.limits().write_rate);
    const auto number = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };
    const std::array settings{
        nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.streams},
        nghttp2_settings_entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, number(limits.stream_window)},
        nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, number(host.limits().head_bytes)},
        nghttp2_settings_entry{NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, number(limits.table_bytes)},
        // No tree of dependencies for a client to shuffle (CVE-2019-9513).
        nghttp2_settings_entry{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
    };
    nghttp2_submit_settings(session_.get(), NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, 0,
                                          static_cast<std::int32_t>(limits.connection_window));
    counters_.http2_sessions.add();
    wants_send_ = true;
    host_.wants_send();
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
    start_begun();
    check_times();
    // Also what the socket did not take: it notifies the Wake when it would. And a client that has gone away: send()
    // ends the session once nothing is left to do.
    if (!wants_send_ && (stream_.unsent() != 0 || nghttp2_session_want_write(session_.get()) != 0 ||
                         nghttp2_session_want_read(session_.get()) == 0)) {
        wants_send_ = true;
        host_.wants_send();
    }
    arm();
    return more;
}

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

void Http2Session::feed() {
    const auto in = stream_.in().view();
    const auto used =
        nghttp2_session_mem_recv(session_.get(), reinterpret_cast<const std::uint8_t*>(in.data()), in.size());
    stream_.in().clear();
    stream_.in().release();
    if (verdict_ != Http2End::open) {
        end(verdict_, verdict_ == Http2End::protocol_error ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_ENHANCE_YOUR_CALM);
        return;
    }
    if (used >= 0) return;
    switch (used) {
        case NGHTTP2_ERR_FLOODED:
        case NGHTTP2_ERR_TOO_MANY_SETTINGS: end(Http2End::control_flood, NGHTTP2_ENHANCE_YOUR_CALM); return;
        case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS: end(Http2End::continuation_flood, NGHTTP2_ENHANCE_YOUR_CALM); return;
        case NGHTTP2_ERR_NOMEM:
        case NGHTTP2_ERR_CALLBACK_FAILURE: throw std::bad_alloc{};
        default: end(Http2End::protocol_error, NGHTTP2_PROTOCOL_ERROR); return;
    }
}

/// Requests that were cancelled in the bytes that brought them never reach an exchange (CVE-2023-44487).
void Http2Session::start_begun() {
    if (begun_.empty()) return;
    for (auto* stream : begun_) {
        if (stream->closed_ || end_ != Http2End::open) {
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
        held_back_ = !has_room(1);
        while (!held_back_) {
            const std::uint8_t* bytes = nullptr;
            const auto size = nghttp2_session_mem_send(session_.get(), &bytes);
            if (size < 0) throw std::bad_alloc{};
            if (size == 0) break;
            frames_.append(view(bytes, static_cast<std::size_t>(size)));
            held_back_ = !has_room(1);
        }
        write_frames();
        const Io done = stream_.flush();
        reader_.await(stream_.unsent() != 0, now);
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

exchange::ReaderPace::Taken Http2Session::taken() const noexcept {
    return {stream_.acknowledged(), stream_.socket().delivery() == loop::Socket::Delivery::lost};
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
        consume(stream, stream.in_.size());
        stream.in_.clear();
    }
    if (stream.closed_) {
        ++ready_to_go_;
        if (running_ == 0) wake_.notify();
    } else {
        if (!stream.complete_)
            stream.abort();
        else if (stream.tunnel_ && nghttp2_session_get_stream_local_close(session_.get(), stream.id_) == 1)
            nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, stream.id_, NGHTTP2_NO_ERROR);
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
    ++requests_;
    counters_.http2_streams.add();
}

void Http2Session::stream_closed(Http2Stream& stream) noexcept {
    // A stream whose head was never complete has no exchange to wait for.
    const bool begun = stream.running_ || std::find(begun_.begin(), begun_.end(), &stream) != begun_.end();
    if (!begun) stream.finished_ = true;
    if (head_of_ == stream.id_) head_since_ = TimePoint::max();  // nghttp2 does not tell of its end any more
    stream.closed();
    if (stream.finished_) ++ready_to_go_;
}

}  // namespace nearhop::client
