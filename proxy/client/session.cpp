#include "proxy/client/proxy_protocol.h"
#include "proxy/client/sessions.h"
#include "proxy/exchange/answer.h"
#include "proxy/exchange/peer_trust.h"

#include <openssl/ssl.h>
#include <spdlog/spdlog.h>

#include <array>
#include <exception>
#include <sys/socket.h>

namespace nearhop::client {

using account::Fault;
using account::Refusal;
using loop::Io;

namespace {

Party own_end(int descriptor) noexcept {
    sockaddr_storage end{};
    socklen_t size = sizeof end;
    if (getsockname(descriptor, reinterpret_cast<sockaddr*>(&end), &size) != 0) return {};
    return Party::from(reinterpret_cast<const sockaddr*>(&end));
}

}  // namespace

bool announces_clients(const shared::Snapshot& snapshot, const ListenerFacts& listener, const geo::Address& peer) {
    return snapshot.routing->rules_of(*listener.rules).proxy_protocol.contains(peer.canonical());
}

bool is_trusted(const shared::Snapshot& snapshot, const geo::Address& peer) { return snapshot.trust->trusts_hop(peer); }

Session::Session(Sessions& owner, exchange::Context& context, std::shared_ptr<const ListenerFacts> listener,
                 int descriptor, const Party& peer)
    : owner_{owner},
      context_{context},
      listener_{std::move(listener)},
      routing_{context.snapshot()->routing},
      wake_{context.loop},
      timer_{context.loop, wake_},
      peer_{
          .address = peer.address, .listener = listener_->rules.get(), .port = peer.port, .edge = own_end(descriptor)},
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

void Session::end() noexcept {
    if (http2_) http2_->hurry();
    wake_.notify();
}

/// The root of the session's coroutines: whatever happens below ends this session only.
loop::Task<void> Session::run() {
    try {
        co_await serve();
    } catch (const std::exception& bug) {
        failed(bug);
        stream_.socket().reset();  // half an answer must not pass for a whole one
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
    if (announces_clients(*context_.snapshot(), *listener_, peer_.address)) {
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
            const Refusal why =
                context_.capacity.judge_address(peer_.address, is_trusted(*context_.snapshot(), peer_.address));
            if (why != Refusal::none) {
                context_.counters.sessions_refused[static_cast<std::size_t>(why)].add();
                co_return false;
            }
            held_ = context_.capacity.hold(peer_.address, shared::AddressCounts::What::session);
            co_return true;
        }
        const Io got = stream_.fill(8 * 1024);
        if (got == Io::ok) continue;
        if (got != Io::blocked || timer_.expired()) co_return false;
        co_await wake_.wait();
    }
}

loop::Task<bool> Session::handshake() {
    routing_ = context_.snapshot()->routing;
    const auto tls = context_.snapshot()->server_tls;
    auto& counters = context_.counters;
    if (!tls) co_return false;
    const auto& rules = routing_->rules_of(*listener_->rules);
    wire::ServerHandshake facts{rules.client_rule.get(), listener_->http2, {}, {}};
    stream_.start_tls_server(tls->context(), &facts);
    wire::restrict(stream_.tls(), listener_->min_version, listener_->ciphers);
    timer_.expires_after(limits().handshake_timeout);
    for (;;) {
        const Io done = stream_.handshake();
        if (done == Io::ok) break;
        if (done != Io::blocked || timer_.expired()) {
            counters.handshakes_failed.add();
            in_handshake_ = false;
            context_.capacity.end_handshake();
            co_await close();
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
    peer_.identity = wire::identity_lines(certificate, routing_->config.tls.identity);
    return true;
}

void Session::count_deviations(const exchange::Codec& codec) noexcept {
    const auto found = codec.deviations();
    if (found.empty()) return;
    for (std::size_t i = 1; i < wire::deviation_count; ++i)
        if (found.has(static_cast<wire::Deviation>(i))) context_.counters.client_deviations[i].add();
}

/// Answers that need no origin: the load balancer's check, and the redirect to https of clients that did not come by
/// https.
bool Session::answer_itself(exchange::Codec& codec, const message::Request& request) {
    exchange::Answer answer;
    if (!listener_->ready_path.empty() && request.path == listener_->ready_path) {
        const bool ready = context_.snapshot()->ready && !context_.capacity.is_full();
        answer.status = ready ? 200 : 503;
        answer.fields = "Content-Type: text/plain\r\nCache-Control: no-store\r\n";
        answer.body = ready ? "ready\n" : "not ready\n";
    } else if (listener_->kind == conf::ListenerKind::http && listener_->plain == conf::PlainPolicy::redirect &&
               !exchange::ended_tls(*context_.snapshot(), request, peer_)) {
        if (!request.host.empty()) {
            answer = exchange::redirect_to_https(request.host, listener_->https_port, request.target);
        } else if (request.method == "OPTIONS") {
            answer = exchange::options_answer();  // HAProxy's bare `option httpchk`: no host to redirect to, and alive
        } else {
            deny(codec, request, Fault::client_bad_request);
            return true;
        }
    } else {
        return false;
    }
    exchange::send(codec, answer, request.method == "HEAD", context_.date());
    return true;
}

/// The answer to a request that was not understood, or must not be.
void Session::refuse(exchange::Codec& codec, const message::Request& request, Fault fault) {
    count_deviations(codec);
    deny(codec, request, fault);
}

/// An answer of the session's own to a fault, with its access line.
void Session::deny(exchange::Codec& codec, const message::Request& request, Fault fault) {
    context_.counters.faults[static_cast<std::size_t>(fault)].add();
    exchange::send(codec, exchange::answer_for(fault, {}, "-"), request.method == "HEAD", context_.date());
    if (!context_.log) return;
    account::AccessRecord line;
    line.time = std::chrono::system_clock::now();
    line.client = peer_.address;
    line.method = message::method_in_log(request);
    line.host = request.host;
    line.path = request.target;
    line.query = &routing_->config.log.query;
    line.protocol = name(request.protocol);
    const bool reset = request.protocol == message::Protocol::http2 && codec.gone() && codec.why_gone() != fault;
    line.status = reset ? 0 : account::info(fault).status;
    line.fault = fault;
    line.deviation = codec.deviations().worst();
    context_.log->write(line);
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
    const bool said_something = requests_ != 0 || stream_.failed();  // an answer or, of TLS, an alert
    const bool client_sends = codec_ && codec_->head_started() && !codec_->body_complete();
    if (!said_something || (socket.hung_up() && !client_sends)) co_return;
    socket.shutdown_write();
    lingers_ = true;
    if (!linger_) linger_.emplace(limits(), client_sends, context_.loop.now());
    thread_local std::array<char, 64 * 1024> unread;
    for (;;) {
        const auto got = socket.read(unread.data(), unread.size());
        if (got.io == Io::closed || got.io == Io::failed) co_return;
        if (linger_->is_over(got.bytes, context_.loop.now())) co_return;
        timer_.expires_at(linger_->due());
        if (got.io == Io::blocked)
            co_await wake_.wait();
        else if (linger_->has_had_its_turn())
            co_await wake_.yield();
    }
}

}  // namespace nearhop::client
