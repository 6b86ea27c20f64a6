#include "proxy/client/sessions.h"

#include <exception>

/// A session whose client speaks HTTP/2: what Http2Session needs of the connection's owner.
namespace nearhop::client {

using account::Fault;

loop::Task<void> Session::serve_http2() {
    http2_ = std::make_unique<Http2Session>(*this, owner_.http2_streams(), stream_, wake_, timer_,
                                            routing_->config.http2, context_.counters);
    if (draining_ || owner_.draining()) http2_->drain();
    for (;;) {
        const bool more = turn_http2();
        if (http2_->over()) break;
        if (more)
            co_await wake_.yield();
        else
            co_await wake_.wait();
    }
    requests_ = http2_->requests();
    http2_->close_streams();
    co_await close();
    stream_.socket().close();
    while (http2_->running() != 0) co_await wake_.wait();
}

bool Session::turn_http2() noexcept {
    bool more = false;
    try {
        if (const auto& now = context_.snapshot()->routing; routing_ != now) routing_ = now;
        more = http2_->turn();
        if (limits().session_requests != 0 && http2_->requests() >= limits().session_requests && !http2_->draining()) {
            http2_->drain();
            context_.counters.sessions_used_up.add();
        }
    } catch (const std::exception& bug) {
        failed(bug);
        http2_->fail();
    }
    count_bytes();
    return more;
}

void Session::send_http2() noexcept {
    send_queued_ = false;
    try {
        http2_->send();
    } catch (const std::exception& bug) {
        failed(bug);
        http2_->fail();
    }
}

void Session::wants_send() noexcept {
    if (send_queued_) return;
    send_queued_ = true;
    owner_.send_later(*this);
}

/// Waits for the end of a request whose content is declared empty: an origin must not act on a request that its
/// client sees refused.
loop::Task<Fault> Session::ended(Http2Stream& stream) {
    loop::Timer timer{context_.loop, stream.wake()};
    timer.expires_after(limits().body_timeout);
    while (stream.awaits_end()) {
        if (const Fault fault = stream.body().fault; fault != Fault::none) co_return fault;
        if (timer.expired()) co_return Fault::client_body_timeout;
        if (context_.ends()) co_return Fault::edge_stopped;
        co_await stream.wake().wait();
    }
    co_return Fault::none;
}

loop::Task<void> Session::serve(Http2Stream& stream) {
    Fault fault = stream.fault();
    if (fault == Fault::none && stream.awaits_end()) fault = co_await ended(stream);
    if (fault != Fault::none) {
        refuse(stream, stream.request(), fault);
        co_return;
    }
    if (answer_itself(stream, stream.request())) co_return;
    exchange::Exchange exchange{context_, stream.wake(), stream, stream.request(), peer_};
    co_await exchange.run();
    count_deviations(stream);
}

}  // namespace nearhop::client
