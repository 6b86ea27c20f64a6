#include "proxy/client/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <new>

/// How a session comes to its end: the times that it keeps, the notice to its client, and the reason that is counted.
namespace nearhop::client {

using account::Fault;
using account::Http2End;
using loop::TimePoint;

namespace {

// As in HTTP/1.1: one that has proved busy keeps its buffers for a moment, others give them back at once, so that
// thousands that come together do not hold them all at the same time.
constexpr unsigned busy_from = 4;
constexpr loop::milliseconds idle_after{500};
constexpr loop::milliseconds notice_time{1000};  // between the two GOAWAY frames, if the client does not answer a PING

}  // namespace

void Http2Session::check_times() {
    if (over_) return;
    const auto now = wake_.loop().now();
    const auto& limits = host_.limits();
    const auto count = [&](Fault fault) { counters_.faults[static_cast<std::size_t>(fault)].add(); };
    if (now >= drain_due_) go_away();
    reader_.await(stream_.unsent() != 0, now);
    if (stream_.unsent() != 0 && reader_.is_too_slow(now, [this] { return taken(); })) {
        count(Fault::client_write_timeout);
        end(Http2End::write_timeout, NGHTTP2_NO_ERROR);
        stream_.socket().reset();
        over_ = true;
        return;
    }
    if (head_since_ != TimePoint::max() && now >= head_since_ + limits.head_timeout) {
        count(Fault::client_head_timeout);
        return end(Http2End::head_timeout, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    if (streams_.empty()) {
        if (now >= idle_ends()) return end(Http2End::idle, NGHTTP2_NO_ERROR);
        if (!released_ && now >= release_at() && stream_.unsent() == 0 &&
            nghttp2_session_want_write(session_.get()) == 0) {
            stream_.release_all();
            memory_.rest();
            released_ = true;
        }
        return;
    }
    if (now >= check_at_) check_streams(now);
}

/// Streams whose exchange is over: nothing else watches them.
void Http2Session::check_streams(TimePoint now) {
    check_at_ = TimePoint::max();
    for (auto& stream : streams_) {
        if (stream->closed_) continue;
        if (stream->answered_) {
            if (now >= stream->reset_at_) {
                nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, stream->id_, NGHTTP2_NO_ERROR);
                stream->reset_at_ = TimePoint::max();
            }
            check_at_ = std::min(check_at_, stream->reset_at_);
        } else if (stream->finished_) {
            // The answer is complete, and its client does not read it.
            if (stream->reader_.is_too_slow(now, [&] { return stream->taken(); })) {
                if (!stream->aborted_) counters_.faults[static_cast<std::size_t>(Fault::client_write_timeout)].add();
                stream->aborted_ = true;
                stream->reset();
            } else {
                check_at_ = std::min(check_at_, stream->reader_.due());
            }
        }
    }
}

loop::TimePoint Http2Session::release_at() const noexcept {
    return idle_since_ + (requests_ < busy_from ? loop::milliseconds{0} : idle_after);
}

loop::TimePoint Http2Session::idle_ends() const noexcept {
    // While the tail of the last answer is on its way, it is for its reader's pace to say.
    return stream_.unsent() != 0 ? TimePoint::max() : idle_since_ + host_.limits().idle_timeout;
}

/// Sets the timer to when check_times() has something to do.
void Http2Session::arm() noexcept {
    if (over_) return;
    const auto& limits = host_.limits();
    auto due = std::min(check_at_, drain_due_);
    if (stream_.unsent() != 0) due = std::min(due, reader_.due());
    if (head_since_ != TimePoint::max()) due = std::min(due, head_since_ + limits.head_timeout);
    if (streams_.empty()) {
        due = std::min(due, idle_ends());
        if (!released_ && stream_.unsent() == 0) due = std::min(due, release_at());
    }
    timer_.expires_at(due);
}

/// The session ends for this reason; a GOAWAY carries a `code` other than NO_ERROR.
void Http2Session::end(Http2End why, unsigned code) {
    if (end_ != Http2End::open) return;
    end_ = why;
    counters_.http2_ended[static_cast<std::size_t>(why)].add();
    if (why != Http2End::closed && why != Http2End::drained) nghttp2_session_terminate_session(session_.get(), code);
    wants_send_ = true;
    host_.wants_send();
}

void Http2Session::drain() {
    if (draining_ || over_) return;
    draining_ = true;
    nghttp2_submit_shutdown_notice(session_.get());
    nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr);
    drain_due_ = wake_.loop().now() + notice_time;
    wants_send_ = true;
    host_.wants_send();
}

void Http2Session::go_away() {
    drain_due_ = TimePoint::max();
    if (went_away_ || over_) return;
    went_away_ = true;
    nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_.get()),
                          NGHTTP2_NO_ERROR, nullptr, 0);
    wants_send_ = true;
    host_.wants_send();
}

/// The worker ends: streams answer what they can, and the last GOAWAY does not wait for its time.
void Http2Session::hurry() {
    if (over_) return;
    for (auto& stream : streams_) stream->wake_.notify();
    drain();
    drain_due_ = went_away_ ? TimePoint::max() : wake_.loop().now();
    wake_.notify();
}

void Http2Session::close_streams() noexcept {
    over_ = true;
    for (auto& stream : streams_) {
        stream->client_reset_ = true;  // with its connection
        stream->closed();
    }
}

void Http2Session::fail() noexcept {
    if (end_ == Http2End::open) counters_.http2_ended[static_cast<std::size_t>(Http2End::closed)].add();
    end_ = Http2End::closed;
    try {
        start_begun(Fault::edge_internal);
        answer_waiting(Fault::edge_internal);
        write_frames();
    } catch (const std::bad_alloc&) {
        frames_.clear();  // half of it is none: they get no answer, for there is no memory to say so
    }
    over_ = true;
    wake_.notify();
}

}  // namespace nearhop::client
