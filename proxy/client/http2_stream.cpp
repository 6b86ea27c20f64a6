#include "proxy/client/http2_stream.h"

#include "proxy/client/http2_session.h"
#include "proxy/message/headers.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <charconv>
#include <exception>
#include <new>

namespace nearhop::client {

using account::Fault;
using loop::Io;
using wire::Framing;
using wire::Name;

namespace {
constexpr std::size_t ordinary_fields = 32;
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
    trailer_size_ = 0;
    sent_ = left_ = discarded_ = 0;
    reset_at_ = loop::TimePoint::max();
    heads_waiting_ = 0;
    reader_ = {};
    request_ = {};
    fault_ = body_fault_ = Fault::none;
    deviations_ = {};
    progress_ = told_ = {};
    remote_ended_ = client_reset_ = started_ = has_body_out_ = complete_ = deferred_ = full_ = tunnel_ = false;
    aborted_ = closed_ = finished_ = running_ = answered_ = false;
    dismissed_ = Fault::none;
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
    message::for_each_response_field(
        fields, [&](const wire::Field& field) { block.push_back(pair_of(field.name, field.value)); });
    if (nghttp2_submit_headers(session_->session_.get(), NGHTTP2_FLAG_NONE, id_, nullptr, block.data(), block.size(),
                               nullptr) == 0)
        ++heads_waiting_;
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
    message::for_each_response_field(start.fields, [&](const wire::Field& field) {
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
    progress_ = told_ = wake_.loop().now();
    const auto& limits = session_->host_.limits();
    reader_.begin(sent_, limits.write_timeout, limits.write_rate);
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
    if (nghttp2_submit_response(session_->session_.get(), id_, block.data(), block.size(),
                                has_body_out_ ? &source : nullptr) == NGHTTP2_ERR_NOMEM)
        throw std::bad_alloc{};
    started_ = true;
    ++heads_waiting_;
}

Http2Stream::Part Http2Stream::next_part(std::size_t most) const noexcept {
    const std::size_t bytes = std::min(most, out_.size());
    return {bytes, complete_ && !aborted_ && bytes == out_.size()};
}

void Http2Stream::sent_part(std::size_t bytes, loop::TimePoint now) noexcept {
    out_.consume(bytes);
    sent_ += bytes;
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
    if (!has_body_out_) return body.size();
    if (closed_) return 0;  // gone(): the exchange must not read the rest of the answer for nobody
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

/// What the connection's system has not acknowledged may be this stream's.
exchange::ReaderPace::Taken Http2Stream::taken() const noexcept {
    const auto connection = session_->taken();
    const std::uint64_t under_way = session_->stream_.sent + session_->stream_.unsent() - connection.bytes;
    return {sent_ - std::min(sent_, under_way), connection.is_lost};
}

Fault Http2Stream::why_gone() const noexcept { return dismissed_ != Fault::none ? dismissed_ : Fault::client_gone; }

Io Http2Stream::flush() {
    if (closed_ || aborted_) return Io::failed;
    session_->output(*this);
    return out_.empty() ? Io::ok : Io::blocked;
}

}  // namespace nearhop::client
