#include "proxy/client/http2_stream.h"

#include "proxy/client/authority.h"
#include "proxy/client/http2_session.h"
#include "proxy/exchange/headers.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <charconv>
#include <exception>

namespace nearhop::client {

using exchange::Fault;
using loop::Io;
using wire::Framing;
using wire::Name;

namespace {
constexpr std::size_t ordinary_fields = 32;
constexpr std::size_t line_overhead = 4;  // what ": " and CRLF add in HTTP/1.1: one limit means the same in both
constexpr std::size_t bomb_factor = 4;    // a head this many times its limit is an attack, not a mistake
constexpr loop::milliseconds tell_after{1000};
}  // namespace

void Http2Stream::open(Http2Session& session, std::int32_t id) noexcept {
    session_ = &session;
    id_ = id;
}

void Http2Stream::recycle() noexcept {
    task_ = {};
    head_.clear();
    head_.release();
    in_.clear();
    in_.release();
    out_.clear();
    out_.release();
    fields_.clear();
    if (fields_.capacity() > ordinary_fields) std::vector<wire::Field>{}.swap(fields_);
    trailers_in_.clear();
    trailers_out_.clear();
    pseudo_ = {};
    head_size_ = cookies_ = 0;
    request_ = {};
    fault_ = body_fault_ = Fault::none;
    progress_ = told_ = {};
    remote_ended_ = client_reset_ = started_ = has_body_out_ = complete_ = deferred_ = full_ = tunnel_ = false;
    aborted_ = closed_ = finished_ = running_ = false;
}

/// The stream's own coroutine: whatever happens in it ends this stream only.
loop::Task<void> Http2Stream::run() {
    try {
        co_await session_->host_.serve(*this);
    } catch (const std::exception& bug) {
        session_->host_.failed(bug);
        abort();
    }
    session_->stream_finished(*this);
}

// ---- the head -------------------------------------------------------------------------------------------------------

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

bool Http2Stream::add_field(std::string_view name, std::string_view value, const conf::Limits& limits) {
    const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(limits.head_bytes, wire::largest_head));
    head_size_ += name.size() + value.size() + line_overhead;
    if (head_size_ > most) {
        refuse(Fault::client_head_too_large);
        return head_size_ <= most * bomb_factor;
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
    if (fields_.size() >= limits.head_fields) {
        refuse(Fault::client_head_too_large);
        return true;
    }
    if (name == "cookie") ++cookies_;
    make_room(name.size() + value.size());
    wire::Field field;
    field.name = store(name);
    field.value = store(value);
    field.id = wire::classify(field.name);
    fields_.push_back(field);
    return true;
}

void Http2Stream::add_trailer(std::string_view name, std::string_view value, const conf::Limits& limits) {
    if (trailers_in_.size() + name.size() + value.size() + line_overhead > limits.trailer_bytes) {
        body_fault_ = Fault::client_head_too_large;
        return;
    }
    trailers_in_.append(name).append(": ").append(value).append("\r\n");
}

void Http2Stream::head_complete(bool ended) {
    request_.http2 = true;
    request_.method = pseudo_[method];
    request_.fields = fields_;
    if (fault_ == Fault::none) fault_ = check(ended);
    if (ended) remote_ended();
}

/// Everything about a head that must hold before a request exists. nghttp2 has checked the order and number of
/// pseudo-fields, names, values and connection-specific fields (RFC 9113 sections 8.2 and 8.3).
Fault Http2Stream::check(bool ended) {
    if (request_.method.empty() || request_.method.size() > 32) return Fault::client_bad_request;
    if (cookies_ > 1) join_cookies();
    request_.fields = fields_;
    if (const Fault fault = check_authority(); fault != Fault::none) return fault;
    if (const Fault fault = check_method(); fault != Fault::none) return fault;
    if (const Fault fault = check_target(); fault != Fault::none) return fault;
    wire::RequestHead framed;
    framed.fields.swap(fields_);
    const auto framing = wire::request_framing(framed);
    framed.fields.swap(fields_);
    if (!framing || framing->kind == Framing::Kind::chunked) return Fault::client_bad_framing;
    if (request_.extended_connect) return Fault::none;  // what follows is the tunnel's
    request_.framing = *framing;
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
        if (host) return Fault::client_bad_request;
        host = &field;
    }
    auto named = pseudo_[authority];
    if (host && !named.empty() && !wire::equal_ignoring_case(host->value, named)) return Fault::client_bad_request;
    if (host && named.empty()) named = host->value;
    if (named.empty() || !valid_authority(named)) return Fault::client_bad_request;
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
        return Fault::client_bad_request;
    if (target == "*") {
        if (request_.method != "OPTIONS") return Fault::client_bad_request;
    } else if (!target.starts_with('/') || !wire::valid_target(target)) {
        return Fault::client_bad_request;
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
    if (!in_.empty()) return {in_.view(), false, Fault::none};
    if (remote_ended_) return {{}, true, Fault::none};
    // Reset by nghttp2: more or fewer bytes than content-length promised, or a frame that does not belong there.
    if (closed_)
        return {{}, false, client_reset_ || aborted_ || tunnel_ ? Fault::client_gone : Fault::client_bad_framing};
    return {};
}

void Http2Stream::consume_body(std::size_t bytes) {
    in_.consume(bytes);
    in_.release();
    session_->consume(*this, bytes);
}

// ---- the response ---------------------------------------------------------------------------------------------------

namespace {

nghttp2_nv pair_of(std::string_view name, std::string_view value) {
    // nghttp2 takes mutable pointers and copies; names become lower case in the copy.
    return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
            reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
            NGHTTP2_NV_FLAG_NONE};
}

/// Fields of one header block on their way to nghttp2, which copies them in one piece.
std::vector<nghttp2_nv>& scratch() {
    thread_local std::vector<nghttp2_nv> fields;
    fields.clear();
    return fields;
}

/// Calls `visit(name, value)` for ready lines with CRLF, ours or checked ones.
template <class Visit>
void for_each_line(std::string_view lines, Visit visit) {
    while (!lines.empty()) {
        const auto end = lines.find("\r\n");
        const auto line = lines.substr(0, end);
        lines.remove_prefix(end == std::string_view::npos ? lines.size() : end + 2);
        const auto colon = line.find(':');
        if (colon == std::string_view::npos) continue;
        auto value = line.substr(colon + 1);
        while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
        while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
        visit(line.substr(0, colon), value);
    }
}

struct Digits {
    explicit Digits(std::uint64_t number) {
        const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
        size = static_cast<std::size_t>(end - text.data());
    }
    std::string_view view() const { return {text.data(), size}; }
    std::array<char, 24> text;
    std::size_t size;
};

}  // namespace

void Http2Stream::interim(unsigned status, std::span<const wire::Field> fields) {
    if (closed_) return;
    auto& block = scratch();
    const Digits digits{status};
    block.push_back(pair_of(":status", digits.view()));
    exchange::for_each_response_field(
        fields, [&](const wire::Field& field) { block.push_back(pair_of(field.name, field.value)); });
    nghttp2_submit_headers(session_->session_.get(), NGHTTP2_FLAG_NONE, id_, nullptr, block.data(), block.size(),
                           nullptr);
}

void Http2Stream::start(const exchange::ResponseStart& start) {
    respond(start.status, start,
            !start.bodyless && start.framing.has_body() &&
                !(start.framing.kind == Framing::Kind::length && start.framing.length == 0));
}

/// RFC 8441 section 5: 200 says what 101 says in HTTP/1.1, and nobody needs proof that it was understood.
void Http2Stream::start_tunnel(const exchange::ResponseStart& start, std::string_view) {
    tunnel_ = true;
    respond(200, start, true);
}

void Http2Stream::respond(unsigned status, const exchange::ResponseStart& start, bool has_body) {
    if (closed_) return;
    auto& block = scratch();
    const Digits digits{status};
    block.push_back(pair_of(":status", digits.view()));
    exchange::for_each_response_field(start.fields, [&](const wire::Field& field) {
        if (tunnel_ && wire::equal_ignoring_case(field.name, "sec-websocket-accept")) return;
        block.push_back(pair_of(field.name, field.value));
    });
    for_each_line(start.extra,
                  [&](std::string_view name, std::string_view value) { block.push_back(pair_of(name, value)); });
    const Digits length{start.framing.length};
    if (start.framing.kind == Framing::Kind::length) block.push_back(pair_of("content-length", length.view()));
    if (start.bodyless && start.framing.kind != Framing::Kind::length && start.status != 204) {
        // What a GET would have got (RFC 9110 section 9.3.2); never with 204 (section 8.6).
        for (const auto& field : start.fields)
            if (field.id == Name::content_length) block.push_back(pair_of("content-length", field.value));
    }
    has_body_out_ = has_body;
    started_ = true;
    progress_ = told_ = wake_.loop().now();
    nghttp2_data_provider source{};
    source.source.ptr = this;
    source.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t most, std::uint32_t* flags,
                              nghttp2_data_source* from, void*) -> ssize_t {
        auto& stream = *static_cast<Http2Stream*>(from->ptr);
        const Part part = stream.next_part(most);
        // What had come before the answer was cut off has left: nghttp2 says RST_STREAM(INTERNAL_ERROR) for this.
        if (part.bytes == 0 && stream.aborted_) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        if (part.bytes == 0 && !part.last) {
            stream.deferred_ = true;
            return NGHTTP2_ERR_DEFERRED;
        }
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
        if (part.last) *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (part.last && !stream.trailers_out_.empty()) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            auto& trailers = scratch();
            for_each_line(stream.trailers_out_, [&](std::string_view name, std::string_view value) {
                trailers.push_back(pair_of(name, value));
            });
            nghttp2_submit_trailer(stream.session_->session_.get(), stream.id_, trailers.data(), trailers.size());
        }
        return static_cast<ssize_t>(part.bytes);
    };
    nghttp2_submit_response(session_->session_.get(), id_, block.data(), block.size(),
                            has_body_out_ ? &source : nullptr);
}

Http2Stream::Part Http2Stream::next_part(std::size_t most) const noexcept {
    const std::size_t bytes = std::min(most, out_.size());
    return {bytes, complete_ && !aborted_ && bytes == out_.size()};
}

void Http2Stream::sent_part(std::size_t bytes, loop::TimePoint now) noexcept {
    out_.consume(bytes);
    if (out_.empty()) out_.release();
    progress_ = now;
    // The exchange sleeps on a full buffer: it is woken for a good deal of room, or now and then, so that it sees that
    // a slow client does read.
    if (tunnel_ && out_.empty()) wake_.notify();
    if (full_ && (out_.size() <= most_unsent / 2 || now >= told_ + tell_after)) {
        full_ = false;
        told_ = now;
        wake_.notify();
    }
}

std::size_t Http2Stream::write(std::string_view body) {
    if (closed_ || !has_body_out_) return body.size();
    const std::size_t taken = std::min(body.size(), most_unsent - std::min(most_unsent, out_.size()));
    full_ = taken < body.size() || out_.size() + taken >= wire::Stream::high_water;
    out_.append(body.substr(0, taken));
    return taken;
}

void Http2Stream::finish(std::string_view trailers) {
    complete_ = true;
    if (has_body_out_) trailers_out_ = trailers;
}

bool Http2Stream::stalled() const noexcept {
    return wake_.loop().now() >= progress_ + session_->host_.limits().write_timeout;
}

/// The client gets what was there of the answer, and then a reset; only the reset if it takes nothing.
void Http2Stream::abort() {
    if (closed_ || aborted_) return;
    aborted_ = true;
    if (started_ && has_body_out_ && !stalled())
        session_->output(*this);
    else
        reset();
}

void Http2Stream::reset() {
    out_.clear();
    nghttp2_submit_rst_stream(session_->session_.get(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_INTERNAL_ERROR);
    session_->output(*this);
}

Io Http2Stream::flush() {
    if (closed_ || aborted_) return Io::failed;
    session_->output(*this);
    return out_.empty() ? Io::ok : Io::blocked;
}

}  // namespace nearhop::client
