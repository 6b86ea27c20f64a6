#include "proxy/client/session.h"

#include "proxy/client/proxy_protocol.h"
#include "proxy/exchange/answer.h"
#include "proxy/exchange/least_rate.h"

#include <openssl/ssl.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <sys/socket.h>
#include <unistd.h>

namespace nearhop::client {

using exchange::Fault;
using exchange::Refusal;
using loop::Io;

namespace {
// A connection that has proved busy keeps its buffers for a moment between two requests; others give them back at
// once, so that thousands that come together do not hold 50 KiB each at the same time.
constexpr unsigned busy_from = 4;
constexpr loop::milliseconds idle_after{500};
constexpr loop::milliseconds first_request{1000};  // how long a stopping edge waits for one

/// A peer that must send a PROXY header: whose connection it is shows only then.
bool announces_clients(const Snapshot& snapshot, const ListenerFacts& listener, const geo::Address& peer) {
    const auto& proxies = snapshot.routing->proxy_protocol;
    return listener.index < proxies.size() && proxies[listener.index].contains(peer.canonical());
}

/// A peer that speaks for many clients, such as a CDN's.
bool is_trusted(const Snapshot& snapshot, const geo::Address& peer) { return snapshot.trust->trusts_hop(peer); }

Party own_end(int descriptor) noexcept {
    sockaddr_storage end{};
    socklen_t size = sizeof end;
    if (getsockname(descriptor, reinterpret_cast<sockaddr*>(&end), &size) != 0) return {};
    return Party::from(reinterpret_cast<const sockaddr*>(&end));
}
}  // namespace

Session::Session(Sessions& owner, exchange::Context& context, std::shared_ptr<const ListenerFacts> listener,
                 int descriptor, const Party& peer)
    : owner_{owner},
      context_{context},
      listener_{std::move(listener)},
      snapshot_{context.snapshot()},
      wake_{context.loop},
      timer_{context.loop, wake_},
      peer_{.address = peer.address, .listener = listener_->index, .port = peer.port, .edge = own_end(descriptor)},
      in_handshake_{listener_->kind == conf::ListenerKind::https} {
    stream_.socket().open(context.loop, descriptor, wake_, false);
}

Session::~Session() {
    if (in_handshake_) context_.capacity.end_handshake();
    context_.capacity.end_session();
    if (send_queued_) owner_.forget(*this);
}

void Session::drain() noexcept {
    draining_ = true;
    if (codec_) codec_->close_after_response();
    if (http2_) http2_->drain();
    wake_.notify();
}

/// The root of the session's coroutines: whatever happens below ends this session only.
loop::Task<void> Session::run() {
    try {
        co_await serve();
    } catch (const std::exception& bug) {
        failed(bug);
    }
    stream_.socket().close();
    count_bytes();
    context_.counters.sessions_closed.add();
    finished_ = true;
    owner_.finished(*this);
}

/// Out of memory ends one request, not the process; anything else is a defect that must be seen.
void Session::failed(const std::exception& bug) noexcept {
    context_.counters.faults[static_cast<std::size_t>(Fault::edge_internal)].add();
    spdlog::error("event=session_failed fault=edge_internal what=\"{}\"", bug.what());
}

void Session::count_bytes() noexcept {
    context_.counters.client_received.add(stream_.received - counted_received_);
    context_.counters.client_sent.add(stream_.sent - counted_sent_);
    counted_received_ = stream_.received;
    counted_sent_ = stream_.sent;
}

loop::Task<void> Session::serve() {
    if (announces_clients(*snapshot_, *listener_, peer_.address)) {
        const bool read = co_await read_proxy_header();
        if (!read) co_return;
    }
    if (listener_->kind == conf::ListenerKind::https) {
        const bool secure = co_await handshake();
        if (!secure) co_return;
        if (stream_.speaks_http2()) co_return co_await serve_http2();
    }
    codec_ = std::make_unique<Http1Codec>(stream_, listener_->kind == conf::ListenerKind::https);
    bool again = true;
    while (again) again = co_await one_request();
    co_await close();
}

loop::Task<bool> Session::read_proxy_header() {
    timer_.expires_after(limits().handshake_timeout);
    for (;;) {
        const auto header = parse_proxy_header(stream_.in().view());
        if (header.state == ProxyHeader::State::malformed) {
            context_.counters.faults[static_cast<std::size_t>(Fault::client_bad_request)].add();
            co_return false;
        }
        if (header.state == ProxyHeader::State::complete) {
            stream_.in().consume(header.used);
            if (!header.source) co_return true;
            peer_.address = *header.source;
            peer_.port = header.source_port;
            // Only now is it known whose connection this is.
            const Refusal why = context_.capacity.judge_address(peer_.address, is_trusted(*snapshot_, peer_.address));
            if (why != Refusal::none) {
                context_.counters.sessions_refused[static_cast<std::size_t>(why)].add();
                co_return false;
            }
            held_ = context_.capacity.hold(peer_.address, exchange::AddressCounts::What::session);
            co_return true;
        }
        const Io got = stream_.fill(8 * 1024);
        if (got == Io::ok) continue;
        if (got != Io::blocked || timer_.expired()) co_return false;
        co_await wake_.wait();
    }
}

loop::Task<bool> Session::handshake() {
    const auto tls = snapshot_->server_tls;
    auto& counters = context_.counters;
    if (!tls) co_return false;
    wire::ServerHandshake facts{listener_->index, listener_->http2, {}, {}};
    stream_.start_tls_server(tls->context(), &facts);
    wire::restrict(stream_.tls(), listener_->min_version, listener_->ciphers);
    timer_.expires_after(limits().handshake_timeout);
    for (;;) {
        const Io done = stream_.handshake();
        if (done == Io::ok) break;
        if (done != Io::blocked || timer_.expired()) {
            counters.handshakes_failed.add();
            stream_.flush();  // the alert
            co_return false;
        }
        co_await wake_.wait();
    }
    SSL_set_app_data(stream_.tls(), nullptr);
    if (!take_identity(facts)) {
        counters.handshakes_failed.add();
        co_return false;
    }
    in_handshake_ = false;
    context_.capacity.end_handshake();
    (SSL_session_reused(stream_.tls()) ? counters.handshakes_resumed : counters.handshakes_full).add();
    co_return true;
}

/// What the handshake says of the client. False when a resumed session's certificate has expired meanwhile.
bool Session::take_identity(const wire::ServerHandshake& facts) {
    peer_.server_name = facts.server_name;
    peer_.client_rule = facts.client_rule;
    if (facts.client_rule == wire::ClientRule::Id{}) return true;
    auto* certificate = SSL_get0_peer_certificate(stream_.tls());
    if (!certificate) return true;
    if (wire::is_expired(certificate) || SSL_get_verify_result(stream_.tls()) != X509_V_OK) return false;
    peer_.certificate = std::make_unique<const wire::CertificateNames>(wire::certificate_names(certificate));
    peer_.identity = wire::identity_lines(certificate, snapshot_->routing->config.tls.identity);
    return true;
}

/// One request and its response. False when the session ends.
loop::Task<bool> Session::one_request() {
    snapshot_ = context_.snapshot();
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

void Session::count_deviations(const exchange::Codec& codec) noexcept {
    const auto found = codec.deviations();
    if (found.empty()) return;
    for (std::size_t i = 1; i < wire::deviation_count; ++i)
        if (found.has(static_cast<wire::Deviation>(i))) context_.counters.client_deviations[i].add();
}

/// A coroutine of its own, so that an idle session's frames have no room for an exchange in them.
loop::Task<void> Session::exchange() {
    exchange::Exchange exchange{context_, wake_, *codec_, codec_->request(), peer_};
    co_await exchange.run();
}

loop::Task<Http1Codec::Read> Session::await_head() {
    auto started = context_.loop.now();
    const auto idle_until = started + (requests_ == 0 ? limits().head_timeout : limits().idle_timeout);
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
            // An idle connection ends silently; a head that was begun is told (RFC 9110 section 15.5.9).
            if (begun) {
                context_.counters.faults[static_cast<std::size_t>(Fault::client_head_timeout)].add();
                exchange::send(*codec_, exchange::answer_for(Fault::client_head_timeout, {}, "-"), false,
                               context_.date());
                co_await flushed();
            }
            co_return Http1Codec::Read::closed;
        }
        if (!begun) {
            // Who has just been accepted is about to ask for something; others would have to be told in an answer.
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

/// Answers that need no origin: the load balancer's check and the redirect to https.
bool Session::answer_itself(exchange::Codec& codec, const exchange::Request& request) {
    exchange::Answer answer;
    if (!listener_->ready_path.empty() && request.path == listener_->ready_path) {
        const bool ready = context_.snapshot()->ready;
        answer.status = ready ? 200 : 503;
        answer.fields = "Content-Type: text/plain\r\nCache-Control: no-store\r\n";
        answer.body = ready ? "ready\n" : "not ready\n";
    } else if (listener_->kind == conf::ListenerKind::http && listener_->plain == conf::PlainPolicy::redirect) {
        if (request.host.empty())
            answer = exchange::answer_for(Fault::client_bad_request, {}, "-");
        else
            answer = exchange::redirect_to_https(request.host, listener_->https_port, request.target);
    } else {
        return false;
    }
    exchange::send(codec, answer, request.method == "HEAD", context_.date());
    return true;
}

/// The answer to a request that was not understood, or must not be, and its access line.
void Session::refuse(exchange::Codec& codec, const exchange::Request& request, Fault fault) {
    count_deviations(codec);
    context_.counters.faults[static_cast<std::size_t>(fault)].add();
    exchange::send(codec, exchange::answer_for(fault, {}, "-"), request.method == "HEAD", context_.date());
    if (!context_.log) return;
    run::AccessRecord line;
    line.time = std::chrono::system_clock::now();
    line.client = peer_.address;
    line.method = request.method;
    line.host = request.host;
    line.path = request.target;
    line.protocol = request.http2 ? "HTTP/2" : request.http10 ? "HTTP/1.0" : "HTTP/1.1";
    line.status = exchange::info(fault).status;
    line.fault = fault;
    line.deviation = codec.deviations().worst();
    context_.log->write(line);
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
    exchange::LeastRate download;
    download.begin(context_.loop.now(), stream_.sent);
    for (;;) {
        const Io done = codec_->flush();
        if (done == Io::ok) co_return true;
        if (done != Io::blocked) co_return false;
        if (download.is_too_slow(context_.loop.now(), stream_.sent, limits().write_timeout, limits().write_rate)) {
            context_.counters.faults[static_cast<std::size_t>(Fault::client_write_timeout)].add();
            stream_.socket().reset();
            co_return false;
        }
        timer_.expires_at(download.due(limits().write_timeout));
        co_await wake_.wait();
    }
}

/// An answer was given before the whole body was read: reading on for a moment keeps the connection usable.
loop::Task<bool> Session::drain_body() {
    timer_.expires_after(limits().drain_time);
    std::uint64_t dropped = 0;
    for (;;) {
        const auto body = codec_->body();
        if (body.fault != Fault::none) co_return false;
        if (body.complete) co_return true;
        dropped += body.bytes.size();
        if (dropped > limits().drain_bytes || timer_.expired()) co_return false;
        if (body.bytes.empty())
            co_await wake_.wait();
        else
            codec_->consume_body(body.bytes.size());
    }
}

/// Closes so that the last answer arrives: unread input would turn the close into a reset (RFC 9112 section 9.6).
loop::Task<void> Session::close() {
    auto& socket = stream_.socket();
    if (!socket.is_open() || socket.broken()) co_return;
    if (codec_ && codec_->aborted()) {
        // The client must see that the response was cut: no close_notify, and a reset where the end of the connection
        // would read as the end of the body.
        if (codec_->close_delimited()) socket.reset();
        co_return;
    }
    stream_.close_notify();
    stream_.flush();
    if (requests_ == 0 || socket.hung_up()) co_return;
    socket.shutdown_write();
    timer_.expires_after(limits().drain_time);
    std::uint64_t dropped = 0;
    std::array<char, 4096> unread;
    while (!timer_.expired() && dropped <= limits().drain_bytes) {
        const auto got = socket.read(unread.data(), unread.size());
        if (got.io == Io::closed || got.io == Io::failed) co_return;
        dropped += got.bytes;
        if (got.io == Io::blocked) co_await wake_.wait();
    }
}

bool Sessions::open(std::shared_ptr<const ListenerFacts> listener, int descriptor, const Party& peer) {
    context_.counters.sessions_opened.add();
    const auto& snapshot = *context_.snapshot();
    const bool announced = announces_clients(snapshot, *listener, peer.address);
    const bool secure = listener->kind == conf::ListenerKind::https;
    const Refusal why = context_.capacity.begin_session(peer.address, announced || is_trusted(snapshot, peer.address),
                                                        secure, context_.loop.now().time_since_epoch());
    if (why != Refusal::none) {
        ::close(descriptor);
        context_.counters.sessions_closed.add();
        context_.counters.sessions_refused[static_cast<std::size_t>(why)].add();
        return false;
    }
    try {
        sessions_.emplace_front(*this, context_, std::move(listener), descriptor, peer);
    } catch (const std::bad_alloc&) {
        ::close(descriptor);
        context_.counters.sessions_closed.add();
        context_.capacity.end_session();
        if (secure) context_.capacity.end_handshake();
        throw;
    }
    auto& session = sessions_.front();
    if (!announced) session.held_ = context_.capacity.hold(peer.address, exchange::AddressCounts::What::session);
    session.place_ = sessions_.begin();
    session.start();
    return true;
}

void Sessions::drain() noexcept {
    draining_ = true;
    for (auto& session : sessions_) session.drain();
}

void Sessions::close_after_responses() noexcept {
    draining_ = true;
    for (auto& session : sessions_) session.announce_end();
}

/// Whatever is asked for meanwhile waits for the next batch.
void Sessions::flush() noexcept {
    sending_.swap(to_send_);
    for (auto* session : sending_) session->send_http2();
    sending_.clear();
}

void Sessions::forget(Session& session) noexcept { std::erase(to_send_, &session); }

void Sessions::sweep() noexcept {
    for (const auto place : finished_) sessions_.erase(place);
    finished_.clear();
}

}  // namespace nearhop::client
