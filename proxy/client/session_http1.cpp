#include "proxy/client/sessions.h"
#include "proxy/exchange/answer.h"

#include <algorithm>

/// A session whose client speaks HTTP/1.1: one request and its response after the other, and the waits between them.
namespace nearhop::client {

using account::Fault;
using loop::Io;

namespace {

// A connection that has proved busy keeps its buffers for a moment between two requests; others give them back at
// once, so that thousands that come together do not hold 50 KiB each at the same time.
constexpr unsigned busy_from = 4;
constexpr loop::milliseconds idle_after{500};
constexpr loop::milliseconds first_request{1000};  // how long a stopping edge waits for one

}  // namespace

/// One request and its response. False when the session ends.
loop::Task<bool> Session::one_request() {
    routing_ = context_.snapshot()->routing;
    const bool pipelined = requests_ != 0 && !stream_.in().empty();
    pipelined_ = pipelined ? pipelined_ + 1 : 0;
    if (pipelined) co_await wake_.yield();  // who sends many at once takes turns with the others
    codec_->begin_request(limits());
    const auto read = co_await await_head();
    if (read == Http1Codec::Read::closed) co_return false;
    ++requests_;
    if (read == Http1Codec::Read::refused) {
        refuse(*codec_, codec_->request(), codec_->fault());
        co_await flushed();
        co_return false;
    }
    if (owner_.draining()) codec_->close_after_response();
    if ((limits().session_requests != 0 && requests_ >= limits().session_requests) ||
        (limits().pipelined_requests != 0 && pipelined_ >= limits().pipelined_requests)) {
        codec_->close_after_response();
        context_.counters.sessions_used_up.add();
    }
    if (!answer_itself(*codec_, codec_->request())) co_await exchange();
    count_deviations(*codec_);
    const bool again = co_await after_response();
    co_return again;
}

/// A coroutine of its own, so that an idle session's frames have no room for an exchange in them.
loop::Task<void> Session::exchange() {
    exchange::Exchange exchange{context_, wake_, *codec_, codec_->request(), peer_};
    co_await exchange.run();
}

loop::Task<Http1Codec::Read> Session::await_head() {
    auto started = context_.loop.now();
    const auto idle_until = started + limits().idle_timeout;
    const auto release_at = started + (requests_ < busy_from ? loop::milliseconds{0} : idle_after);
    bool begun = false;
    bool released = false;
    for (;;) {
        const auto read = codec_->read_head();
        if (read != Http1Codec::Read::pending) co_return read;
        const auto now = context_.loop.now();
        if (codec_->head_started() && !begun) {
            begun = true;
            started = now;
        }
        auto due = begun ? started + limits().head_timeout : idle_until;
        if (now >= due) {
            // An idle connection ends silently; a client that began a head gets a 408 (RFC 9110 section 15.5.9).
            if (begun) {
                context_.counters.faults[static_cast<std::size_t>(Fault::client_head_timeout)].add();
                exchange::send(*codec_, exchange::answer_for(Fault::client_head_timeout, {}, "-"),
                               codec_->request().method == "HEAD", context_.date());
                co_await flushed();
            }
            co_return Http1Codec::Read::closed;
        }
        if (!begun) {
            // A client that was just accepted is about to send a request; others would need an answer to learn of the
            // end.
            if (draining_) {
                const auto patience = requests_ == 0 ? started + first_request : now;
                if (now >= patience) co_return Http1Codec::Read::closed;
                due = std::min(due, patience);
            }
            if (!released && now >= release_at) {
                codec_->release();
                released = true;
            }
            if (!released) due = std::min(due, release_at);
        }
        timer_.expires_at(due);
        co_await wake_.wait();
    }
}

/// Sends what is left, gets rid of an unread request body, and says whether the connection goes on.
loop::Task<bool> Session::after_response() {
    const bool sent = co_await flushed();
    count_bytes();
    if (!sent) co_return false;
    if (!codec_->keeps_alive()) co_return false;
    if (codec_->body_complete()) co_return true;
    co_return co_await drain_body();
}

loop::Task<bool> Session::flushed() {
    auto& reader = codec_->reader();
    for (;;) {
        const Io done = codec_->flush();
        if (done == Io::ok) co_return true;
        if (done != Io::blocked) co_return false;
        const auto now = context_.loop.now();
        reader.await(true, now);
        if (reader.is_too_slow(now, [this] { return codec_->taken(); })) {
            context_.counters.faults[static_cast<std::size_t>(Fault::client_write_timeout)].add();
            stream_.socket().reset();
            co_return false;
        }
        timer_.expires_at(reader.due());
        co_await wake_.wait();
    }
}

/// An answer was given before the whole body was read: many clients look at it only once they have sent everything, and
/// then the connection can still be used.
loop::Task<bool> Session::drain_body() {
    linger_.emplace(limits(), true, context_.loop.now());
    for (;;) {
        const auto body = codec_->body();
        if (body.fault != Fault::none) co_return false;
        if (body.complete) break;
        const std::size_t bytes = body.bytes.size();
        if (linger_->is_over(bytes, context_.loop.now()) || context_.ends()) co_return false;
        timer_.expires_at(linger_->due());
        if (bytes == 0) {
            co_await wake_.wait();
            continue;
        }
        codec_->consume_body(bytes);
        if (linger_->has_had_its_turn()) co_await wake_.yield();
    }
    linger_.reset();
    co_return true;
}

}  // namespace nearhop::client
