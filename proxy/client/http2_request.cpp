#include "proxy/client/authority.h"
#include "proxy/client/http2_session.h"
#include "proxy/client/http2_stream.h"

#include <algorithm>

/// The request's half of a stream: its head, checked like HTTP/1.1's, and its body.
namespace nearhop::client {

using account::Fault;
using wire::Deviation;
using wire::Framing;
using wire::Name;

namespace {
constexpr std::size_t line_overhead = 4;   // what ": " and CRLF add in HTTP/1.1: one limit means the same in both
constexpr std::size_t crumb_overhead = 2;  // "; "
}  // namespace

/// Makes room behind what is stored; views that point into the block move with it.
void Http2Stream::make_room(std::size_t bytes) {
    if (head_.room() >= bytes) return;
    wire::Buffer larger;
    larger.prepare(std::max(head_.size() * 2, head_.size() + bytes));
    larger.append(head_.view());
    const char* const from = head_.data();
    const char* const to = larger.data();
    const auto move = [&](std::string_view& view) {
        if (!view.empty()) view = {to + (view.data() - from), view.size()};
    };
    for (auto& view : pseudo_) move(view);
    for (auto& field : fields_) {
        move(field.name);
        move(field.value);
    }
    head_.swap(larger);
}

std::string_view Http2Stream::store(std::string_view text) {
    make_room(text.size());
    head_.append(text);
    return head_.view().substr(head_.size() - text.size());
}

void Http2Stream::refuse(Fault fault) noexcept {
    if (fault_ == Fault::none) fault_ = fault;
}

bool Http2Stream::add_field(std::string_view name, std::string_view value, const HeadLimits& held_to) {
    const auto& limits = held_to.limits;
    const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(limits.head_bytes, wire::largest_head));
    // Crumbs are one field again: what counts is what HTTP/1.1 would have brought.
    const bool crumb = name == "cookie" && cookies_++ != 0;
    head_size_ += crumb ? value.size() + crumb_overhead : name.size() + value.size() + line_overhead;
    if (head_size_ > most || cookies_ > held_to.cookie_crumbs) {
        refuse(Fault::client_head_too_large);
        return !held_to.is_bomb(head_size_, most);
    }
    if (name.starts_with(':')) {
        static constexpr std::array<std::string_view, pseudo_count> names{":method", ":scheme", ":authority", ":path",
                                                                          ":protocol"};
        for (std::size_t i = 0; i < names.size(); ++i) {
            if (name != names[i]) continue;
            if (i == path && value.size() > limits.target_bytes)
                refuse(Fault::client_target_too_long);
            else
                pseudo_[i] = store(value);
        }
        return true;
    }
    const std::size_t crumbs = std::max(cookies_, 1u) - 1;  // those behind the first, among the fields yet
    if (!crumb && fields_.size() - crumbs >= limits.head_fields) {
        refuse(Fault::client_head_too_large);
        return true;
    }
    make_room(name.size() + value.size());
    wire::Field field;
    field.name = store(name);
    field.value = store(value);
    field.id = wire::classify(field.name);
    fields_.push_back(field);
    return true;
}

bool Http2Stream::add_trailer(std::string_view name, std::string_view value, const HeadLimits& held_to) {
    trailer_size_ += name.size() + value.size() + line_overhead;
    if (trailer_size_ > held_to.limits.trailer_bytes) {
        body_fault_ = Fault::client_bad_framing;
        return !held_to.is_bomb(trailer_size_, held_to.limits.trailer_bytes);
    }
    trailers_in_.append(name).append(": ").append(value).append("\r\n");
    return true;
}

void Http2Stream::head_complete(bool ended) {
    request_.protocol = message::Protocol::http2;
    request_.method = pseudo_[method];
    request_.fields = fields_;
    if (fault_ == Fault::none) fault_ = check(ended);
    if (ended) remote_ended();
}

/// Everything about a head that must hold before a request exists. nghttp2 has checked the order and number of
/// pseudo-fields, names, values and connection-specific fields (RFC 9113 sections 8.2 and 8.3).
Fault Http2Stream::check(bool ended) {
    if (request_.method.empty() || request_.method.size() > 32) return bad_request(Deviation::bad_method);
    if (cookies_ > 1) join_cookies();
    request_.fields = fields_;
    if (const Fault fault = check_authority(); fault != Fault::none) return fault;
    if (const Fault fault = check_method(); fault != Fault::none) return fault;
    if (const Fault fault = check_target(); fault != Fault::none) return fault;
    wire::RequestHead framed;
    framed.fields.swap(fields_);
    const auto framing = wire::request_framing(framed);
    framed.fields.swap(fields_);
    if (!framing || framing->kind == Framing::Kind::chunked) {
        deviations_.add(framing ? Deviation::unknown_coding : Deviation::bad_length);
        return Fault::client_bad_framing;
    }
    if (request_.extended_connect) return Fault::none;  // what follows is the tunnel's
    request_.framing = *framing;
    left_ = framing->length;
    if (!ended && framing->kind == Framing::Kind::none) {
        // `content-length: 0` and yet no END_STREAM: an empty DATA frame or trailers have to end it.
        const bool said = std::any_of(fields_.begin(), fields_.end(),
                                      [](const wire::Field& field) { return field.id == Name::content_length; });
        if (!said) request_.framing.kind = Framing::Kind::chunked;  // a length unknown, in HTTP/1.1's words
    }
    for (const auto& field : fields_) {
        if (field.id != Name::expect) continue;
        if (!wire::equal_ignoring_case(field.value, "100-continue")) return Fault::client_expectation;
        request_.expects_continue = request_.framing.has_body();
    }
    return Fault::none;
}

/// RFC 9113 section 8.3.1: `:authority` is what HTTP/1.1 has in Host. Where both are there, recipients could disagree
/// about the site unless they say the same.
Fault Http2Stream::check_authority() {
    const wire::Field* host = nullptr;
    for (const auto& field : fields_) {
        if (field.id != Name::host) continue;
        if (host) return bad_request(Deviation::repeated_host);
        host = &field;
    }
    auto named = pseudo_[authority];
    if (host && !named.empty() && !wire::equal_ignoring_case(host->value, named))
        return bad_request(Deviation::host_mismatch);
    if (host && named.empty()) named = host->value;
    if (named.empty()) return bad_request(Deviation::no_host);
    if (!valid_authority(named)) return bad_request(Deviation::bad_host);
    request_.authority = named;
    request_.host = host_of(named);
    return Fault::none;
}

/// RFC 8441: an extended CONNECT asks for a tunnel in this stream, which HTTP/1.1 opens with a GET and Upgrade.
Fault Http2Stream::check_method() {
    if (request_.method == "TRACE") return Fault::client_method_refused;
    if (request_.method != "CONNECT") return Fault::none;
    if (pseudo_[protocol].empty()) return Fault::client_method_refused;
    request_.extended_connect = true;
    request_.upgrade = pseudo_[protocol];
    request_.method = "GET";
    return Fault::none;
}

Fault Http2Stream::check_target() {
    const auto target = pseudo_[path];
    const auto plan = pseudo_[scheme];
    if (!wire::equal_ignoring_case(plan, "https") && !wire::equal_ignoring_case(plan, "http"))
        return bad_request(Deviation::bad_target);
    if (target == "*") {
        if (request_.method != "OPTIONS") return bad_request(Deviation::bad_target);
    } else if (!target.starts_with('/') || !wire::valid_target(target)) {
        return bad_request(Deviation::bad_target);
    }
    request_.target = target;
    request_.path = target.substr(0, target.find('?'));
    return Fault::none;
}

/// RFC 9113 section 8.2.3: crumbs are one field again towards HTTP/1.1.
void Http2Stream::join_cookies() {
    std::size_t size = 0;
    for (const auto& field : fields_)
        if (field.name == "cookie") size += field.value.size() + 2;
    make_room(size);
    const std::size_t began = head_.size();
    wire::Field* first = nullptr;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < fields_.size(); ++i) {
        const bool cookie = fields_[i].name == "cookie";
        if (cookie) {
            if (first) head_.append("; ");
            head_.append(fields_[i].value);
        }
        if (cookie && first) continue;
        fields_[kept] = fields_[i];
        if (cookie) first = &fields_[kept];
        ++kept;
    }
    if (first) first->value = head_.view().substr(began);
    fields_.resize(kept);
    cookies_ = 1;
}

// ---- the request body -----------------------------------------------------------------------------------------------

void Http2Stream::remote_ended() noexcept {
    remote_ended_ = true;
    wake_.notify();
}

void Http2Stream::closed() noexcept {
    closed_ = true;
    wake_.notify();
}

exchange::Codec::Body Http2Stream::body() {
    if (body_fault_ != Fault::none) return {{}, false, body_fault_};
    auto bytes = in_.view();
    // The last byte of a declared length waits for the request's end: with more behind it the request is malformed
    // (RFC 9113 section 8.1.1), and must not be whole at an origin by then.
    if (!remote_ended_ && request_.framing.kind == Framing::Kind::length && bytes.size() == left_)
        bytes.remove_suffix(1);
    if (!bytes.empty()) return {bytes, false, Fault::none};
    if (remote_ended_) return {{}, true, Fault::none};
    // Reset by nghttp2: more or fewer bytes than content-length promised, or a frame that does not belong there.
    if (closed_ && (client_reset_ || aborted_ || tunnel_ || session_->over())) return {{}, false, why_gone()};
    if (closed_) return {{}, false, Fault::client_bad_framing};
    return {};
}

void Http2Stream::consume_body(std::size_t bytes) {
    if (request_.framing.kind == Framing::Kind::length) left_ -= bytes;
    in_.consume(bytes);
    in_.release();
    session_->consume(*this, bytes);
}

}  // namespace nearhop::client
