#pragma once

#include "proxy/client/http1_codec.h"
#include "proxy/client/http2_session.h"
#include "proxy/client/linger.h"
#include "proxy/exchange/context.h"
#include "proxy/exchange/exchange.h"
#include "proxy/loop/task.h"

#include <list>
#include <memory>
#include <optional>

namespace nearhop::client {

using Party = origin::Announcement::Party;
class Sessions;

/// What a session knows about the listener that accepted it; shared by its sessions, outlives them.
struct ListenerFacts {
    std::shared_ptr<const shared::ListenerRules> rules;
    conf::ListenerKind kind = conf::ListenerKind::https;
    conf::PlainPolicy plain = conf::PlainPolicy::redirect;
    std::uint16_t https_port = 443;  ///< where a plain listener redirects to
    std::string ready_path;
    std::optional<conf::TlsVersion> min_version;  ///< https: instead of the one for all listeners
    std::string ciphers;
    bool http2 = true;  ///< offered through ALPN
};

/// A peer that must send a PROXY header: only the header names the client.
bool announces_clients(const shared::Snapshot& snapshot, const ListenerFacts& listener, const geo::Address& peer);
/// A peer that speaks for many clients, such as a CDN's.
bool is_trusted(const shared::Snapshot& snapshot, const geo::Address& peer);

/// One client connection, from accept to close: serve() is its whole life. After the handshake it speaks HTTP/1.1 by
/// itself or gives its stream to an Http2Session.
class Session final : public Http2Host {
public:
    Session(Sessions& owner, exchange::Context& context, std::shared_ptr<const ListenerFacts> listener, int descriptor,
            const Party& peer);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session();

    void start() {
        task_ = run();
        task_.start();
    }
    /// Ends between two requests: at once when idle, after the current response otherwise.
    void drain() noexcept;
    /// The worker ends: waiting requests get an answer, answers in progress are cut.
    void end() noexcept;
    /// Without a further turn: a client without its full answer sees the cut. HTTP/2's frames show it by themselves.
    void cut() noexcept {
        if (!http2_ && !lingers_) stream_.socket().reset();
    }
    /// Announces the end to an HTTP/2 client, so that it opens its next connection elsewhere.
    void announce_end() noexcept {
        if (http2_) http2_->drain();
    }
    bool finished() const noexcept { return finished_; }
    void send_http2() noexcept;  ///< after a batch of events

private:
    loop::Task<void> run();
    loop::Task<void> serve();
    loop::Task<bool> read_proxy_header();
    loop::Task<bool> handshake();
    bool take_identity(const wire::ServerHandshake& facts);
    loop::Task<bool> one_request();
    loop::Task<Http1Codec::Read> await_head();
    loop::Task<void> exchange();
    loop::Task<bool> after_response();
    loop::Task<bool> flushed();
    loop::Task<bool> drain_body();
    loop::Task<void> close();
    void count_deviations(const exchange::Codec& codec) noexcept;
    loop::Task<void> serve_http2();
    bool turn_http2() noexcept;
    bool answer_itself(exchange::Codec& codec, const message::Request& request);
    void refuse(exchange::Codec& codec, const message::Request& request, account::Fault fault);
    void deny(exchange::Codec& codec, const message::Request& request, account::Fault fault);
    void count_bytes() noexcept;
    const conf::Limits& limits() const noexcept override { return routing_->config.limits; }

    // Http2Host
    loop::Task<void> serve(Http2Stream& stream) override;
    loop::Task<account::Fault> ended(Http2Stream& stream);
    void failed(const std::exception& bug) noexcept override;
    void wants_send() noexcept override;

    Sessions& owner_;
    exchange::Context& context_;
    std::shared_ptr<const ListenerFacts> listener_;
    /// Of the current request: its limits. Not the snapshot: a session may live for days, and would keep its databases.
    std::shared_ptr<const shared::Routing> routing_;
    loop::Wake wake_;
    loop::Timer timer_;
    wire::Stream stream_;
    std::unique_ptr<Http1Codec> codec_;  ///< where HTTP/2 was not agreed on
    exchange::Peer peer_;
    shared::AddressCounts::Held held_;  ///< among the address's sessions
    bool in_handshake_;                 ///< counted as one
    unsigned requests_ = 0;             ///< heads that came, good or bad
    unsigned pipelined_ = 0;            ///< in a row that arrived before the previous answer was sent
    bool draining_ = false;
    bool finished_ = false;
    bool lingers_ = false;          ///< everything was sent; further input is discarded
    std::optional<Linger> linger_;  ///< begun, for the request body at hand
    bool send_queued_ = false;
    std::uint64_t counted_received_ = 0;
    std::uint64_t counted_sent_ = 0;
    std::unique_ptr<Http2Session> http2_;
    loop::Task<void> task_;  // last: destroyed first
    friend class Sessions;
    std::list<Session>::iterator place_;
};

}  // namespace nearhop::client
