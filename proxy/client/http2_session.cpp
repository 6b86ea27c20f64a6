#include "proxy/client/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <new>
#include <string_view>
#include <utility>

namespace nearhop::client {

using account::Http2End;
using loop::Io;
using loop::TimePoint;

namespace {

constexpr std::uint32_t first_window = 65'535;  // of a stream, until a client has seen our SETTINGS
constexpr std::size_t most_cut = 1000;          // streams whose end a client may not have seen yet

std::string_view view(const std::uint8_t* bytes, std::size_t size) {
    return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

void Http2Session::Delete::operator()(nghttp2_session* session) const noexcept { nghttp2_session_del(session); }

Http2Session::Http2Session(Http2Host& host, Http2Streams& pool, wire::Stream& stream, loop::Wake& wake,
                           loop::Timer& timer, const conf::Http2& limits, account::WorkerCounters& counters)
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
      idle_since_{wake.loop().now()} {
    reader_.begin(stream_.sent, host_.limits().write_timeout, host_.limits().write_rate);
    announce(limits);
    counters_.http2_sessions.add();
    wants_send_ = true;
    host_.wants_send();
}

/// Our SETTINGS and the connection's window. nghttp2 ends a connection with more streams than its limit
/// (PROTOCOL_ERROR), although refusing the stream is enough (RFC 9113 section 5.1.2). So we count streams ourselves,
/// and announce the limit only to the client.
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

/// Requests that were cancelled in the bytes that brought them never reach an exchange (CVE-2023-44487), nor do those
/// whose session the same bytes ended: these are refused for `ended`.
void Http2Session::start_begun(account::Fault ended) {
    // Each is taken off before anything can throw: fail() goes on with the others, and with none twice.
    for (std::size_t next = 0; next < begun_.size(); ++next) {
        auto* const stream = std::exchange(begun_[next], nullptr);
        if (!stream) continue;
        const bool told = stream->closed_ && stream->fault_ == account::Fault::client_bad_framing;  // by a reset
        if (end_ != Http2End::open && !stream->closed_) stream->refuse(ended);
        if ((stream->closed_ && !told) || over_) {
            stream->finished_ = true;
            if (stream->closed_) ++ready_to_go_;
            continue;
        }
        stream->task_ = stream->run();
        stream->running_ = true;
        ++running_;
        stream->task_.start();
    }
    begun_.clear();
}

void Http2Session::send() {
    wants_send_ = false;
    if (over_) return sweep();
    const auto now = wake_.loop().now();
    for (unsigned round = 0;; ++round) {
        serialise();
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

exchange::ReaderPace::Taken Http2Session::taken() const noexcept {
    return {stream_.acknowledged(), stream_.socket().delivery() == loop::Socket::Delivery::lost};
}

void Http2Session::write_frames() {
    if (frames_.empty()) return;
    stream_.write(frames_.view());
    frames_.clear();
    frames_.release();
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

}  // namespace nearhop::client
