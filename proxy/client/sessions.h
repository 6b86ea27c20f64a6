#pragma once

#include "proxy/client/session.h"

#include <cstddef>
#include <list>
#include <memory>
#include <vector>

namespace nearhop::client {

/// All sessions of one worker.
class Sessions {
public:
    explicit Sessions(exchange::Context& context) noexcept : context_{context}, streams_{context.loop} {}

    /// Takes the descriptor over. False (and closed) when the process has no room for it.
    bool open(std::shared_ptr<const ListenerFacts> listener, int descriptor, const Party& peer);
    std::size_t count() const noexcept { return sessions_.size(); }
    bool draining() const noexcept { return draining_; }
    /// From now on, answers carry Connection: close or come with a GOAWAY.
    void close_after_responses() noexcept;
    /// Ends idle sessions now and the others after their response.
    void drain() noexcept;
    /// Requests that wait for an origin get 503, answers in progress are cut: within a turn or two, unless the client
    /// does not read.
    void end() noexcept;
    void cut() noexcept;    ///< at once
    void flush() noexcept;  ///< after each batch of events: HTTP/2 frames leave
    void sweep() noexcept;  ///< after each batch of events: frees what has finished
    void finished(Session& session) { finished_.push_back(session.place_); }
    void send_later(Session& session) { to_send_.push_back(&session); }
    void forget(Session& session) noexcept;
    Http2Streams& http2_streams() noexcept { return streams_; }

private:
    exchange::Context& context_;
    Http2Streams streams_;
    std::vector<Session*> to_send_;
    std::vector<Session*> sending_;
    std::list<Session> sessions_;
    std::vector<std::list<Session>::iterator> finished_;
    bool draining_ = false;
};

}  // namespace nearhop::client
