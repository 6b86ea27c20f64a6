#pragma once

#include "proxy/account/counters.h"
#include "proxy/client/http2_cut_streams.h"
#include "proxy/client/http2_frame.h"
#include "proxy/client/http2_large_values.h"
#include "proxy/client/http2_memory.h"
#include "proxy/client/http2_meter.h"
#include "proxy/client/http2_stream.h"
#include "proxy/wire/stream.h"

#include <memory>
#include <span>
#include <vector>

struct nghttp2_session;

namespace nearhop::client {

/// What an HTTP/2 session needs of the owner of the connection. Session is one owner; a test or a fuzz target is
/// another, with a plain wire::Stream over a socket pair and a serve() that answers by itself.
class Http2Host {
public:
    /// Serves one request, in a coroutine of the stream's own.
    virtual loop::Task<void> serve(Http2Stream& stream) = 0;
    /// An exception left serve().
    virtual void failed(const std::exception& bug) noexcept = 0;
    /// Asks for a call of Http2Session::send() after everything ready has run: all frames leave in one send.
    virtual void wants_send() noexcept = 0;
    /// The limits for heads that come now.
    virtual const conf::Limits& limits() const noexcept = 0;

protected:
    ~Http2Host() = default;
};

/// Shared by the sessions of one worker: unused streams, and pages for nghttp2.
class Http2Streams {
public:
    explicit Http2Streams(loop::Loop& loop) noexcept : loop_{loop} {}
    std::unique_ptr<Http2Stream> take();
    void give(std::unique_ptr<Http2Stream> stream) noexcept;
    Http2Blocks& blocks() noexcept { return blocks_; }

private:
    loop::Loop& loop_;
    std::vector<std::unique_ptr<Http2Stream>> free_;
    Http2Blocks blocks_;
};

/// HTTP/2 on one client connection: nghttp2 between our stream and the Http2Streams. It never waits. turn() does what
/// is possible after a notification of the connection's Wake; send() sends after a batch of events; `timer` is set to
/// the time of the next necessary turn().
class Http2Session {
public:
    Http2Session(Http2Host& host, Http2Streams& pool, wire::Stream& stream, loop::Wake& wake, loop::Timer& timer,
                 const conf::Http2& limits, account::WorkerCounters& counters);
    ~Http2Session();
    Http2Session(const Http2Session&) = delete;
    Http2Session& operator=(const Http2Session&) = delete;

    /// Reads what came and starts the exchanges of new requests. True: call again once others have had their turn.
    bool turn();
    /// Sends what nghttp2 has to send.
    void send();
    /// True when the connection has nothing left to do; close_streams() and the connection's end follow.
    bool over() const noexcept { return over_; }
    /// GOAWAY in two steps (RFC 9113 section 6.8): a notice, and after a round trip the last stream that is served.
    void drain();
    bool draining() const noexcept { return draining_; }
    /// The worker ends: the streams look at that now.
    void hurry();
    /// The connection has ended: exchanges learn that their client has left. running() falls to 0, with the Wake told.
    void close_streams() noexcept;
    std::size_t running() const noexcept { return running_; }
    unsigned requests() const noexcept { return requests_; }
    /// Something outside of us failed, such as memory: the session ends.
    void fail() noexcept;

private:
    friend class Http2Stream;
    struct Callbacks;
    struct Delete {
        void operator()(nghttp2_session* session) const noexcept;
    };

    static constexpr unsigned rounds_per_turn = 8;  ///< of reading or of sending, while other sessions wait

    nghttp2_session* make(const conf::Http2& limits);
    void announce(const conf::Http2& limits);
    bool read();
    void feed();
    account::Http2End admit(const FrameHead& frame);
    account::Http2End admit_dead(const FrameHead& frame);
    void start_begun(account::Fault ended = account::Fault::client_session_ended);
    void check_times();
    void check_streams(loop::TimePoint now);
    loop::TimePoint release_at() const noexcept;  ///< when an idle connection gives its buffers back
    loop::TimePoint idle_ends() const noexcept;   ///< of a connection without streams
    void arm() noexcept;
    void end(account::Http2End why, unsigned code);
    void end_for(int error);
    bool judge(account::Http2End verdict) noexcept;
    void sweep();
    /// Whether a frame of `bytes` may join what leaves at once, which ends where a send is largest.
    bool has_room(std::size_t bytes) const noexcept {
        const std::size_t queued = frames_.size() + stream_.unsent();
        return queued == 0 || queued + bytes <= wire::Stream::largest_write;
    }
    void serialise();
    void write_frames();
    void go_away();
    void answer_waiting(account::Fault why);
    exchange::ReaderPace::Taken taken() const noexcept;

    // For streams.
    void output(Http2Stream& stream);
    void consume(Http2Stream& stream, std::size_t bytes);
    void stream_finished(Http2Stream& stream) noexcept;

    // For nghttp2.
    Http2Stream* find(std::int32_t id) const noexcept;
    bool may_open() const noexcept { return open_ < most_open_ && !went_away_; }
    void open_stream(std::int32_t id);
    bool refuse_stream(std::int32_t id);
    void discard(Http2Stream& stream, std::size_t bytes) noexcept;
    void answered(Http2Stream& stream) noexcept;
    void stream_closed(Http2Stream& stream, std::uint32_t code);

    Http2Host& host_;
    Http2Streams& pool_;
    wire::Stream& stream_;
    loop::Wake& wake_;
    loop::Timer& timer_;
    account::WorkerCounters& counters_;
    Http2Meter meter_;
    Http2Memory memory_;
    std::unique_ptr<nghttp2_session, Delete> session_;
    wire::Buffer frames_;          ///< serialised, not yet in a TLS record
    exchange::ReaderPace reader_;  ///< of the connection as a whole, while the socket takes no more
    std::vector<std::unique_ptr<Http2Stream>> streams_;
    std::vector<Http2Stream*> begun_;  ///< with a whole head, not yet served
    const std::uint32_t most_open_;    ///< streams at once
    const unsigned crumbs_;            ///< of the cookies of one head
    std::uint32_t open_ = 0;           ///< those that nghttp2 has not closed
    const std::uint32_t window_;       ///< the most that a client may send on a stream unasked
    std::int32_t newest_ = 0;          ///< the highest number that the client has used
    CutStreams cut_;
    std::size_t running_ = 0;      ///< exchanges
    std::size_t ready_to_go_ = 0;  ///< streams that sweep() may free
    unsigned requests_ = 0;

    std::size_t frame_left_;       ///< of the frame, or the preface, that nghttp2 is being fed with
    std::size_t block_bytes_ = 0;  ///< of the present header block's frames so far
    LargeValues large_values_;     ///< of the same

    loop::TimePoint idle_since_;
    loop::TimePoint head_since_ = loop::TimePoint::max();  ///< a header block began that has not ended
    loop::TimePoint check_at_ = loop::TimePoint::max();    ///< when answers that do not leave are looked at
    loop::TimePoint drain_due_ = loop::TimePoint::max();   ///< the second GOAWAY
    bool released_ = false;                                ///< buffers were given back since it became idle
    bool draining_ = false;
    bool went_away_ = false;  ///< the last GOAWAY is queued
    bool wants_send_ = false;
    bool unread_ = false;     ///< reading stopped because the client does not read either
    bool held_back_ = false;  ///< no frame fits any more
    bool over_ = false;
    account::Http2End end_ = account::Http2End::open;
    account::Http2End verdict_ = account::Http2End::open;  ///< of a callback that stopped nghttp2
};

}  // namespace nearhop::client
