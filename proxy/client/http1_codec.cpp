#include "proxy/client/http1_codec.h"

#include "proxy/client/authority.h"
#include "proxy/message/headers.h"
#include "proxy/wire/diagnose.h"

#include <algorithm>
#include <charconv>

namespace nearhop::client {

using account::Fault;
using loop::Io;
using message::Protocol;
using wire::Deviation;
using wire::Framing;
using wire::Name;

namespace {

constexpr unsigned most_empty_lines = 4;
constexpr std::size_t ordinary_fields = 32;  // 1.3 KiB
constexpr std::size_t read_ahead =
    wire::Stream::largest_write;  // body bytes taken from the socket before an origin has them

}  // namespace

void Http1Codec::begin_request(const conf::Limits& limits) noexcept {
    limits_ = &limits;
    scan_.reset();
    head_.fields.clear();
    request_ = {};
    fault_ = Fault::none;
    deviations_ = {};
    decoder_ = wire::ChunkedDecoder{limits.chunk_line_bytes, limits.trailer_bytes};
    left_ = 0;
    chunk_ = {};
    chunk_used_ = 0;
    empty_lines_ = 0;
    tunnel_ = ending_ = responding_ = false;
    started_ = body_done_ = continued_ = chunked_out_ = bodyless_out_ = close_delimited_ = false;
}

void Http1Codec::release() noexcept {
    head_bytes_.clear();
    head_bytes_.release();
    // An ordinary head's fields stay: every request of a connection that idles in between would allocate them again.
    if (head_.fields.capacity() > ordinary_fields) std::vector<wire::Field>{}.swap(head_.fields);
    stream_.release_all();
}

Http1Codec::Read Http1Codec::read_head() {
    auto& in = stream_.in();
    const auto limit = static_cast<std::size_t>(std::min<std::uint64_t>(limits_->head_bytes, wire::largest_head));
    const auto refused = [&](Fault fault) {
        fault_ = fault;
        return Read::refused;
    };
    for (;;) {
        // An empty line or two before the request line is a known client bug (RFC 9112 section 2.2).
        for (; !started_ && empty_lines_ < most_empty_lines && in.view().starts_with("\r\n"); ++empty_lines_) {
            in.consume(2);
            deviations_.add(Deviation::empty_line);
        }
        if (!in.empty() && !(in.size() == 1 && !started_ && in.view() == "\r")) {
            started_ = true;
            // Whatever becomes of the head, an answer to HEAD has no content.
            if (in.view().starts_with("HEAD ")) request_.method = "HEAD";
            const auto state = scan_.scan(in.view());
            if (state == wire::HeadScan::State::malformed)
                return refused(bad_request(wire::diagnose_request(in.view())));
            if (scan_.first_line() > limits_->target_bytes + 64) return refused(Fault::client_target_too_long);
            const std::size_t size = state == wire::HeadScan::State::complete ? scan_.size() : in.size();
            if (size > limit) return refused(Fault::client_head_too_large);
            if (state == wire::HeadScan::State::complete) {
                head_bytes_.clear();
                head_bytes_.append(in.view().substr(0, size));
                in.consume(size);
                fault_ = check();
                return fault_ == Fault::none ? Read::ready : Read::refused;
            }
        }
        switch (stream_.fill(limit + 4096)) {
            case Io::ok: continue;
            case Io::blocked: return Read::pending;
            case Io::closed:
            case Io::failed: return Read::closed;
        }
    }
}

/// Everything about a head that must hold before a request exists.
Fault Http1Codec::check() {
    switch (wire::parse_request(head_bytes_.view(), limits_->head_fields, head_)) {
        case wire::HeadError::malformed: return bad_request(wire::diagnose_request(head_bytes_.view()));
        case wire::HeadError::bad_framing:
            return refuse(Fault::client_bad_framing, wire::diagnose_request(head_bytes_.view()));
        case wire::HeadError::too_many_fields: return Fault::client_head_too_large;
        case wire::HeadError::none: break;
    }
    request_.method = head_.method;
    request_.fields = head_.fields;
    request_.protocol = head_.minor == 0 ? Protocol::http10 : Protocol::http11;
    request_.secure = secure_;
    if (head_.target.size() > limits_->target_bytes) return Fault::client_target_too_long;
    if (head_.odd_target) deviations_.add(Deviation::odd_target);
    if (const Fault fault = check_host(); fault != Fault::none) return fault;
    if (head_.method == "CONNECT" || head_.method == "TRACE") return Fault::client_method_refused;
    if (const Fault fault = check_target(); fault != Fault::none) return fault;
    const auto framing = wire::request_framing(head_);
    if (!framing) return refuse(Fault::client_bad_framing, wire::diagnose_request(head_bytes_.view()));
    request_.framing = *framing;
    left_ = framing->length;
    body_done_ = !framing->has_body();
    if (!body_done_ && (head_.method == "GET" || head_.method == "HEAD"))
        deviations_.add(Deviation::content_without_meaning);
    if (!wire::keeps_alive(head_.minor, head_.fields)) close_ = true;
    find_upgrade();
    return check_expectations();
}

/// The one expectation that exists (RFC 9110 section 10.1.1); without content or in HTTP/1.0 it means nothing.
Fault Http1Codec::check_expectations() {
    for (const auto& field : head_.fields) {
        if (field.id != Name::expect) continue;
        if (!wire::equal_ignoring_case(field.value, "100-continue")) return Fault::client_expectation;
        request_.expects_continue = request_.protocol != Protocol::http10 && request_.framing.has_body();
        if (!request_.framing.has_body()) deviations_.add(Deviation::expect_without_content);
    }
    return Fault::none;
}

/// RFC 9110 section 7.8: Upgrade counts where Connection lists it and never in HTTP/1.0. With a body it is ignored, as
/// it may be: what follows the head must not be body for one recipient and the new protocol for another.
void Http1Codec::find_upgrade() {
    if (request_.protocol == Protocol::http10 || request_.framing.has_body()) return;
    bool listed = false;
    std::string_view protocols;
    for (const auto& field : head_.fields) {
        if (field.id == Name::upgrade && protocols.empty()) protocols = field.value;
        if (field.id != Name::connection) continue;
        wire::for_each_token(field.value, [&](std::string_view token) {
            if (wire::equal_ignoring_case(token, "upgrade")) listed = true;
        });
    }
    if (listed) request_.upgrade = protocols;
}

Fault Http1Codec::check_host() {
    const wire::Field* host = nullptr;
    for (const auto& field : head_.fields) {
        if (field.id != Name::host) continue;
        if (host) return bad_request(Deviation::repeated_host);
        host = &field;
    }
    // HTTP/1.0 may leave it out (RFC 9112 section 3.2).
    if (!host) return head_.minor == 0 ? Fault::none : bad_request(Deviation::no_host);
    if (!valid_authority(host->value)) return bad_request(Deviation::bad_host);
    request_.authority = host->value;
    request_.host = host_of(host->value);
    return Fault::none;
}

Fault Http1Codec::check_target() {
    std::string_view target = head_.target;
    if (target == "*") {
        if (head_.method != "OPTIONS") return bad_request(Deviation::bad_target);
    } else if (!target.starts_with('/')) {
        // absolute-form: its authority counts (RFC 9112 section 3.2.2). Where Host says otherwise, recipients could
        // disagree about the site, so that is refused.
        const auto colon = target.find("://");
        if (colon == std::string_view::npos) return bad_request(Deviation::bad_target);
        const auto scheme = target.substr(0, colon);
        if (!wire::equal_ignoring_case(scheme, "http") && !wire::equal_ignoring_case(scheme, "https"))
            return bad_request(Deviation::bad_target);
        target.remove_prefix(scheme.size() + 3);
        const auto end = std::min(target.find_first_of("/?"), target.size());
        const auto authority = target.substr(0, end);
        if (authority.empty() || !valid_authority(authority)) return bad_request(Deviation::bad_target);
        if (!request_.authority.empty() && !wire::equal_ignoring_case(request_.authority, authority))
            return bad_request(Deviation::host_mismatch);
        request_.authority = authority;
        request_.host = host_of(authority);
        target.remove_prefix(end);
        if (target.empty()) target = head_.method == "OPTIONS" ? "*" : "/";
        if (target.starts_with('?')) return bad_request(Deviation::bad_target);
    }
    request_.target = target;
    request_.path = target.substr(0, target.find('?'));
    return Fault::none;
}

/// The client's end of a tunnel. Over TLS only close_notify ends it orderly; anything else may be a cut.
exchange::Codec::Body Http1Codec::tunnelled() {
    if (stream_.in().empty()) {
        switch (stream_.fill(read_ahead)) {
            case Io::ok: break;
            case Io::blocked: return {};
            case Io::closed:
                if (stream_.ended_orderly()) return {{}, true, Fault::none};
                return {{}, false, Fault::client_gone};
            case Io::failed: return {{}, false, Fault::client_gone};
        }
    }
    return {stream_.in().view(), false, Fault::none};
}

exchange::Codec::Body Http1Codec::body() {
    if (tunnel_) return tunnelled();
    auto& in = stream_.in();
    for (;;) {
        if (body_done_) return {{}, true, Fault::none};
        if (request_.framing.kind == Framing::Kind::length) {
            if (left_ == 0) {
                body_done_ = true;
                continue;
            }
            if (!in.empty())
                return {in.view().substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size()))), false,
                        Fault::none};
        } else {
            if (!chunk_.empty()) return {chunk_, false, Fault::none};
            const auto step = decoder_.next(in.view());
            if (step.result == wire::ChunkedDecoder::Result::malformed)
                return {{}, false, refuse(Fault::client_bad_framing, decoder_.deviation())};
            if (step.result == wire::ChunkedDecoder::Result::data) {
                chunk_ = step.data;
                chunk_used_ = step.used;
                continue;
            }
            in.consume(step.used);
            if (step.result == wire::ChunkedDecoder::Result::done) {
                deviations_.add(decoder_.deviation());
                body_done_ = true;
                continue;
            }
        }
        switch (stream_.fill(read_ahead)) {
            case Io::ok: continue;
            case Io::blocked: return {};
            case Io::closed:
            case Io::failed: return {{}, false, Fault::client_gone};
        }
    }
}

void Http1Codec::consume_body(std::size_t bytes) {
    if (tunnel_ || request_.framing.kind == Framing::Kind::length) {
        if (!tunnel_) left_ -= bytes;
        stream_.in().consume(bytes);
        stream_.in().release();
        return;
    }
    const std::size_t frame = chunk_used_ - chunk_.size();
    chunk_.remove_prefix(bytes);
    chunk_used_ -= frame + bytes;
    stream_.in().consume(frame + bytes);
}

bool Http1Codec::body_complete() {
    return body_done_ || (request_.framing.kind == Framing::Kind::length && left_ == 0);
}

bool Http1Codec::gone() {
    const auto& socket = stream_.socket();
    // While its body is awaited, reading it tells; otherwise an end means that nobody waits for the answer.
    return socket.broken() || (socket.hung_up() && !tunnel_ && body_complete()) || !socket.is_open();
}

void Http1Codec::interim(unsigned status, std::span<const wire::Field> fields) {
    if (request_.protocol == Protocol::http10) return;
    if (status == 100) continued_ = true;
    auto& out = writer_.staging();
    const std::string line = "HTTP/1.1 " + std::to_string(status) + (status == 100 ? " Continue\r\n" : " \r\n");
    out.append(line);
    message::write_response_fields(fields, out);
    out.append("\r\n");
}

void Http1Codec::begin_response() noexcept {
    responding_ = true;
    response_at_ = handed_over();
    reader_.begin(response_at_, limits_->write_timeout, limits_->write_rate);
}

bool Http1Codec::take_back() noexcept {
    if (responding_ && handed_over() != response_at_) return false;
    writer_.clear();
    responding_ = chunked_out_ = bodyless_out_ = close_delimited_ = tunnel_ = ending_ = false;
    return true;
}

exchange::ReaderPace::Taken Http1Codec::taken() const noexcept {
    return {stream_.acknowledged(), stream_.socket().delivery() == loop::Socket::Delivery::lost};
}

void Http1Codec::start(const exchange::ResponseStart& start) {
    begin_response();
    auto& out = writer_.staging();
    char digits[24] = {static_cast<char>('0' + start.status / 100 % 10),
                       static_cast<char>('0' + start.status / 10 % 10), static_cast<char>('0' + start.status % 10),
                       ' '};
    out.append("HTTP/1.1 ");
    out.append({digits, 4});
    out.append(start.reason);
    out.append("\r\n");
    message::write_response_fields(start.fields, out);
    out.append(start.extra);
    bodyless_out_ = start.bodyless;
    const auto write_length = [&](std::string_view value) {
        out.append("Content-Length: ");
        out.append(value);
        out.append("\r\n");
    };
    if (start.bodyless) {
        // What a GET would have got (RFC 9110 section 9.3.2); never with 204 (section 8.6).
        for (const auto& field : start.fields)
            if (field.id == Name::content_length && start.status != 204) write_length(field.value);
        if (start.framing.kind == Framing::Kind::length) {
            const auto end = std::to_chars(digits, digits + sizeof digits, start.framing.length).ptr;
            write_length({digits, static_cast<std::size_t>(end - digits)});
        }
    } else if (start.framing.kind == Framing::Kind::length) {
        const auto end = std::to_chars(digits, digits + sizeof digits, start.framing.length).ptr;
        write_length({digits, static_cast<std::size_t>(end - digits)});
    } else if (request_.protocol == Protocol::http10) {
        close_delimited_ = close_ = true;
    } else {
        chunked_out_ = true;
        out.append("Transfer-Encoding: chunked\r\n");
    }
    close_ = close_ || start.close || (waits_for_continue() && !body_complete());
    if (close_)
        out.append("Connection: close\r\n");
    else if (request_.protocol == Protocol::http10)
        out.append("Connection: keep-alive\r\n");
    out.append("\r\n");
}

void Http1Codec::start_tunnel(const exchange::ResponseStart& start, std::string_view protocol) {
    begin_response();
    auto& out = writer_.staging();
    out.append("HTTP/1.1 101 Switching Protocols\r\n");
    message::write_response_fields(start.fields, out);
    out.append(start.extra);
    out.append("Connection: Upgrade\r\nUpgrade: ");
    out.append(protocol);
    out.append("\r\n\r\n");
    // Not every client minds a missing close_notify: only a reset tells everybody a cut from an end.
    tunnel_ = close_ = close_delimited_ = true;
}

Io Http1Codec::flush() {
    if (aborted_) return Io::failed;
    const Io done = writer_.flush(stream_);
    if (done == Io::ok && ending_) {
        ending_ = false;
        stream_.close_notify();
        const Io said = stream_.flush();  // a few bytes more than what just fitted
        stream_.socket().shutdown_write();
        return said == Io::blocked ? Io::ok : said;
    }
    return done;
}

std::size_t Http1Codec::write(std::string_view body) {
    if (bodyless_out_) return body.size();
    return writer_.write(stream_, body, chunked_out_);
}

void Http1Codec::finish(std::string_view trailers) {
    ending_ = tunnel_;
    writer_.finish(chunked_out_ && !bodyless_out_, trailers);
}

}  // namespace nearhop::client
