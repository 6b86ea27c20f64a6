#include "proxy/control/http_connection.h"

#include "proxy/loop/socket.h"
#include "proxy/wire/chunked.h"
#include "proxy/wire/tls_context.h"

#include <boost/asio/ssl/error.hpp>
#include <boost/asio/write.hpp>
#include <openssl/ssl.h>

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <new>

namespace nearhop::control {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using loop::Clock;
using loop::Ended;
using loop::Task;
using loop::TimePoint;

constexpr std::size_t most_kept_out = 4096;

double seconds_between(TimePoint from, TimePoint to) noexcept {
    return std::max(0.0, std::chrono::duration<double>(to - from).count());
}

bool fail(HttpAnswer& answer, HttpFailure failure, std::string detail = {}) {
    answer.failure = failure;
    answer.detail = std::move(detail);
    return false;
}

bool fail_connect(HttpAnswer& answer, int error) {
    answer.error = error;
    return fail(answer, HttpFailure::connect, std::strerror(error));
}

bool is_address(const std::string& name) noexcept {
    in6_addr bytes;
    return inet_pton(AF_INET, name.c_str(), &bytes) == 1 || inet_pton(AF_INET6, name.c_str(), &bytes) == 1;
}

/// As wire::Stream tells of it; 0 where no TLS is to blame.
unsigned long tls_error(const error_code& error) noexcept {
    return error.category() == asio::error::get_ssl_category() ? static_cast<unsigned>(error.value()) : 0;
}

}  // namespace

HttpClient::Connection::Connection(loop::Loop& loop) : Operations{loop}, stream_{loop.context()}, made_{loop.now()} {}

bool HttpClient::Connection::open(int family, HttpAnswer& answer) {
    const int descriptor = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (descriptor < 0) return fail_connect(answer, errno);
    auto& socket = stream_.socket();
    error_code error;
    socket.assign(family == AF_INET6 ? tcp::v6() : tcp::v4(), descriptor, error);
    if (error) ::close(descriptor);
    if (!error) socket.non_blocking(true, error);
    if (!error) socket.set_option(tcp::no_delay{true}, error);
    return error ? fail_connect(answer, error.value()) : true;
}

Task<bool> HttpClient::Connection::connect(const HttpServer& server, const Exchange& exchange, HttpAnswer& answer) {
    deadline_ = exchange.deadline;
    if (!open(server.address.ss_family, answer)) co_return false;
    tcp::endpoint to;
    std::memcpy(to.data(), &server.address, std::min<std::size_t>(server.size, to.capacity()));
    to.resize(server.size);
    const TimePoint began = Clock::now();  // finer than the batch's time: this difference is the round trip
    expires_at(std::min(deadline_, loop().now() + exchange.limits.connect));
    const auto connected = co_await stream_.socket().async_connect(to, token());
    if (timed_out()) co_return fail(answer, HttpFailure::connect_timeout);
    if (connected.error) co_return fail_connect(answer, connected.error.value());
    answer.phases.connect = seconds_between(began, loop().now());
    if (!server.preface.empty()) {  // a few bytes, into an empty socket
        error_code ignored;
        asio::write(stream_.socket(), asio::buffer(server.preface), ignored);
    }
    if (!server.tls) co_return true;  // no || with co_await behind it: g++ 12 evaluates that always
    co_return co_await handshake(server, answer);
}

Task<bool> HttpClient::Connection::handshake(const HttpServer& server, HttpAnswer& answer) {
    const TimePoint began = loop().now();
    // No session is resumed: a resumed handshake would not look at the certificate.
    stream_.use_tls(server.tls.get());
    if (!server.name.empty() && !wire::expect_server_name(stream_.native(), server.name, is_address(server.name)))
        throw std::bad_alloc{};
    expires_at(deadline_);
    const auto done = co_await stream_.async_handshake(asio::ssl::stream_base::client, token());
    if (timed_out()) co_return fail(answer, HttpFailure::tls_timeout);
    if (done.error) {
        answer.verify_result = SSL_get_verify_result(stream_.native());
        const wire::TlsFailure why{answer.verify_result != X509_V_OK, answer.verify_result, tls_error(done.error)};
        co_return fail(answer, why.certificate ? HttpFailure::certificate : HttpFailure::tls, why.text());
    }
    answer.phases.tls = seconds_between(began, loop().now());
    co_return true;
}

/// What a plain socket takes at once is gone; the rest leaves beside the reading. Where it fails, what the server said
/// before is still read.
void HttpClient::Connection::send(std::string_view message) {
    if (!stream_.is_tls()) {
        error_code error;
        const auto sent = stream_.socket().write_some(asio::buffer(message), error);
        if (error && error != asio::error::would_block) return;
        message.remove_prefix(error ? 0 : sent);
        if (message.empty()) return;
    }
    out_ = message;
    asio::async_write(stream_, asio::buffer(out_), start(writing_));
}

void HttpClient::Connection::begin_read() { stream_.async_read_some(asio::buffer(block_), start(reading_)); }

/// Once more, into in_.
Task<Ended> HttpClient::Connection::read(HttpAnswer& answer) {
    if (!reading_.running() && !idle_) begin_read();
    idle_ = false;
    const auto got = co_await end_of(reading_);
    if (got.bytes == 0) {
        over_ = true;
        co_return got;
    }
    if (std::exchange(waits_for_first_byte_, false)) answer.phases.first_byte = seconds_between(sent_, loop().now());
    wait_for_byte();
    in_.append({block_.data(), got.bytes});
    co_return got;
}

/// From now on, or from the last one on.
void HttpClient::Connection::wait_for_byte() noexcept {
    const TimePoint now = loop().now();
    deadline_ = silence_ == loop::milliseconds{} ? whole_ : std::min(whole_, now + silence_);
    expires_at(waits_for_first_byte_ ? std::min(deadline_, now + loop::Socket::patience) : deadline_);
}

/// While nothing has come, a look now and then whether what was sent arrives at all.
void HttpClient::Connection::on_time() noexcept {
    const TimePoint now = loop().now();
    if (now >= deadline_ || !waits_for_first_byte_) return give_up();
    lost_ = loop::Socket::is_lost(stream_.socket().native_handle());
    if (lost_) return cancel();
    expires_at(std::min(deadline_, now + loop::Socket::look_again));
}

Task<> HttpClient::Connection::run(const Exchange& exchange, HttpAnswer& answer) {
    whole_ = exchange.deadline;
    silence_ = exchange.limits.silence;
    sent_ = Clock::now();
    waits_for_first_byte_ = true;
    keep_ = false;
    wait_for_byte();
    send(exchange.message);
    wire::Framing framing;
    if (!co_await read_head(exchange, answer, framing)) co_return;
    co_await read_body(exchange.limits, framing, answer);
}

void HttpClient::Connection::fail_before_answer(const Ended& ended, HttpAnswer& answer) const {
    if (lost_)
        fail(answer, HttpFailure::lost, "nothing was acknowledged");
    else if (timed_out())
        fail(answer, HttpFailure::head_timeout);
    else if (!waits_for_first_byte_)
        fail(answer, HttpFailure::malformed, "the answer ended within its head");
    else if (const auto error = tls_error(ended.error); error != 0)
        fail(answer, HttpFailure::tls, wire::TlsFailure{false, 0, error}.text());
    else
        fail(answer, HttpFailure::closed);
}

Task<bool> HttpClient::Connection::read_head(const Exchange& exchange, HttpAnswer& answer, wire::Framing& framing) {
    const auto& limits = exchange.limits;
    wire::HeadScan scan;
    wire::ResponseHead head;
    for (unsigned interim = 0;;) {
        const auto state = in_.empty() ? wire::HeadScan::State::more : scan.scan(in_.view());
        if (state == wire::HeadScan::State::malformed)
            co_return fail(answer, HttpFailure::malformed, "the head is not HTTP");
        if (state == wire::HeadScan::State::more) {
            if (in_.size() >= limits.head_bytes)
                co_return fail(answer, HttpFailure::malformed,
                               "the head is larger than " + std::to_string(limits.head_bytes / 1024) + " KiB");
            if (const auto got = co_await read(answer); got.bytes == 0) {
                fail_before_answer(got, answer);
                co_return false;
            }
            continue;
        }
        if (wire::parse_response(in_.view().substr(0, scan.size()), limits.head_fields, head) != wire::HeadError::none)
            co_return fail(answer, HttpFailure::malformed, "the head is not HTTP/1");
        if (head.status >= 200) break;
        if (head.status == 101 || ++interim > limits.interim_answers)
            co_return fail(answer, HttpFailure::malformed, "interim answers that the request did not ask for");
        in_.consume(scan.size());
        scan.reset();
    }
    answer.status = head.status;
    const auto found = wire::response_framing(head, exchange.message.substr(0, exchange.message.find(' ')));
    const bool wanted = !exchange.on_head || exchange.on_head(head);
    if (!found) co_return fail(answer, HttpFailure::malformed, "the framing of the answer is ambiguous");
    if (!wanted) co_return false;
    framing = *found;
    keep_ = wire::keeps_alive(head.minor, head.fields) && framing.kind != wire::Framing::Kind::until_close;
    in_.consume(scan.size());  // ends the views in `head`
    co_return true;
}

Task<bool> HttpClient::Connection::read_body(const HttpLimits& limits, wire::Framing framing, HttpAnswer& answer) {
    using Kind = wire::Framing::Kind;
    wire::ChunkedDecoder decoder;
    std::uint64_t left = framing.kind == Kind::length ? framing.length : 0;
    bool complete = framing.kind == Kind::none || (framing.kind == Kind::length && left == 0);
    while (!complete) {
        const std::size_t room = limits.body_bytes - answer.body.size();
        if (room == 0 && limits.cut_body) break;
        if (in_.empty()) {
            const auto got = co_await read(answer);
            if (got.bytes != 0) continue;
            if (timed_out()) co_return fail(answer, HttpFailure::body_timeout);
            const bool ended = got.error == asio::error::eof || got.error == asio::ssl::error::stream_truncated;
            if (framing.kind != Kind::until_close || !ended)
                co_return fail(answer, HttpFailure::malformed, "the answer ended early");
            break;
        }
        std::string_view piece = in_.view();
        std::size_t used = piece.size();
        if (framing.kind == Kind::chunked) {
            const auto step = decoder.next(piece);
            if (step.result == wire::ChunkedDecoder::Result::malformed)
                co_return fail(answer, HttpFailure::malformed, "the answer's chunks are malformed");
            complete = step.result == wire::ChunkedDecoder::Result::done;
            piece = step.data;
            used = step.used;
        } else if (framing.kind == Kind::length) {
            piece = piece.substr(0, left);
            used = piece.size();
            left -= used;
            complete = left == 0;
        }
        if (piece.size() > room && !limits.cut_body)
            co_return fail(answer, HttpFailure::too_large,
                           "the body is larger than " + std::to_string(limits.body_bytes) + " bytes");
        answer.body.append(piece.substr(0, room));
        in_.consume(used);
    }
    keep_ = keep_ && complete;
    co_return true;
}

bool HttpClient::Connection::keep() {
    if (!keep_ || over_ || !in_.empty() || writing_.running()) return false;
    in_.release();
    if (out_.capacity() > most_kept_out) out_ = {};
    never_expires();
    begin_read();
    idle_ = true;
    return true;
}

bool HttpClient::Connection::is_idle(loop::milliseconds most_age) const noexcept {
    return idle_ && reading_.running() && loop().now() - made_ < most_age;
}

}  // namespace nearhop::control
