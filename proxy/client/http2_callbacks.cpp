#include "proxy/client/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <new>
#include <string_view>

/// Between nghttp2 and a session: what it tells, what it asks for, and the options it is made with.
namespace nearhop::client {

using account::Fault;
using account::Http2End;

namespace {

/// Payload of a DATA frame: four of them, with their heads, are one full send.
constexpr std::size_t data_bytes = wire::Stream::largest_write / 4 - 9;

std::string_view view(const std::uint8_t* bytes, std::size_t size) {
    return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

/// What nghttp2 tells us. None of these waits, starts an exchange or sends.
struct Http2Session::Callbacks {
    static Http2Session& self(void* user) { return *static_cast<Http2Session*>(user); }

    static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
        auto& session = self(user);
        if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
        try {
            // nghttp2 still decodes its head, because HPACK's table continues.
            if (!session.may_open())
                return session.refuse_stream(frame->hd.stream_id) ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
                                                                  : NGHTTP2_ERR_CALLBACK_FAILURE;
            session.open_stream(frame->hd.stream_id);
        } catch (const std::bad_alloc&) {
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        return 0;
    }

    static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                         const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
        auto& session = self(user);
        auto* stream = session.find(frame->hd.stream_id);
        if (!stream) return 0;
        try {
            const Http2Stream::HeadLimits limits{session.host_.limits(), session.crumbs_, session.block_bytes_};
            const bool goes_on = frame->headers.cat == NGHTTP2_HCAT_REQUEST
                                     ? stream->add_field(view(name, name_size), view(value, value_size), limits)
                                     : stream->add_trailer(view(name, name_size), view(value, value_size), limits);
            if (!goes_on) return session.judge(Http2End::header_bomb) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
        } catch (const std::bad_alloc&) {
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        return 0;
    }

    /// A field that nghttp2 would leave out: a request that holds one is refused, as in HTTP/1.1.
    static int on_invalid_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t*, std::size_t,
                                 const std::uint8_t*, std::size_t, std::uint8_t, void* user) {
        if (auto* stream = self(user).find(frame->hd.stream_id)) {
            if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
                stream->refuse(stream->bad_request(wire::Deviation::other));
            else
                stream->body_fault_ = Fault::client_bad_framing;
        }
        return 0;
    }

    /// A malformed head, which nghttp2 answers with a reset. Malformed trailers are their exchange's to tell.
    static int on_invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int error, void* user) {
        const bool malformed = error == NGHTTP2_ERR_HTTP_HEADER || error == NGHTTP2_ERR_HTTP_MESSAGING;
        if (malformed && frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
            self(user).counters_.faults[static_cast<std::size_t>(Fault::client_bad_request)].add();
        return 0;
    }

    static int on_data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes, std::size_t size,
                       void* user) {
        auto& session = self(user);
        auto* stream = session.find(id);
        if (!stream) {
            nghttp2_session_consume(session.session_.get(), id, size);
            return 0;
        }
        if (stream->finished_ || stream->closed_ || stream->fault_ != Fault::none) {
            session.discard(*stream, size);
            return 0;
        }
        try {
            stream->add_body(view(bytes, size));
        } catch (const std::bad_alloc&) {
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        stream->wake_.notify();
        return 0;
    }

    static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
        auto& session = self(user);
        const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        switch (frame->hd.type) {
            case NGHTTP2_HEADERS: {
                auto* stream = session.find(frame->hd.stream_id);
                if (!stream) return 0;
                if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
                    if (session.large_values_.found()) stream->body_fault_ = Fault::client_bad_framing;
                    if (ends) stream->remote_ended();
                    return 0;
                }
                if (session.large_values_.found()) stream->refuse(Fault::client_head_too_large);
                try {
                    stream->head_complete(ends);
                    session.begun_.push_back(stream);
                } catch (const std::bad_alloc&) {
                    return NGHTTP2_ERR_CALLBACK_FAILURE;
                }
                session.meter_.request();
                return 0;
            }
            case NGHTTP2_DATA: {
                if (!ends && frame->hd.length != 0 && frame->data.padlen == frame->hd.length &&
                    !session.judge(session.meter_.padding(session.wake_.loop().now())))
                    return NGHTTP2_ERR_CALLBACK_FAILURE;
                auto* stream = ends ? session.find(frame->hd.stream_id) : nullptr;
                if (stream) stream->remote_ended();
                return 0;
            }
            case NGHTTP2_RST_STREAM:
                if (auto* stream = session.find(frame->hd.stream_id)) stream->client_reset_ = true;
                return 0;
            case NGHTTP2_PING:
                if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && session.draining_) session.go_away();
                return 0;
            default: return 0;
        }
    }

    static int on_before_sending(nghttp2_session*, const nghttp2_frame* frame, void* user) {
        if (frame->hd.type != NGHTTP2_GOAWAY || frame->goaway.error_code == NGHTTP2_NO_ERROR) return 0;
        try {
            self(user).answer_waiting(Fault::client_session_ended);
        } catch (const std::bad_alloc&) {
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        return 0;
    }

    static int on_frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user) {
        auto& session = self(user);
        if (frame->hd.type == NGHTTP2_HEADERS)
            if (auto* stream = session.find(frame->hd.stream_id); stream && stream->heads_waiting_ != 0)
                --stream->heads_waiting_;
        switch (frame->hd.type) {
            case NGHTTP2_RST_STREAM: {
                if (frame->rst_stream.error_code == NGHTTP2_NO_ERROR) return 0;
                session.counters_.http2_edge_resets.add();
                if (frame->rst_stream.error_code == NGHTTP2_REFUSED_STREAM) return 0;  // judged already
                const auto* stream = session.find(frame->hd.stream_id);
                // What an origin's failure made us reset is not the client's doing.
                if (stream && stream->aborted_) return 0;
                session.judge(session.meter_.edge_reset(session.wake_.loop().now()));
                return 0;
            }
            case NGHTTP2_GOAWAY:
                // nghttp2's own verdict on the connection; calm it asks for too many settings in one frame.
                if (frame->goaway.error_code != NGHTTP2_NO_ERROR && session.end_ == Http2End::open)
                    session.judge(frame->goaway.error_code == NGHTTP2_ENHANCE_YOUR_CALM ? Http2End::control_flood
                                                                                        : Http2End::protocol_error);
                return 0;
            case NGHTTP2_DATA:
            case NGHTTP2_HEADERS: {
                if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
                // The other direction of a tunnel goes on until its exchange is over.
                auto* stream = session.find(frame->hd.stream_id);
                if (stream && !stream->remote_ended_ && (!stream->tunnel_ || stream->finished_))
                    session.answered(*stream);
                return 0;
            }
            default: return 0;
        }
    }

    static int send_data(nghttp2_session*, nghttp2_frame*, const std::uint8_t* head, std::size_t size,
                         nghttp2_data_source* source, void* user) {
        auto& session = self(user);
        auto& stream = *static_cast<Http2Stream*>(source->ptr);
        // Reset since nghttp2 has announced the frame: a head without its bytes would make a body of all that follows.
        if (stream.out_.size() < size) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        if (!session.has_room(size + 9)) {
            session.held_back_ = true;
            return NGHTTP2_ERR_WOULDBLOCK;
        }
        try {
            session.frames_.append(view(head, 9));  // never padded: no callback asks for it
            session.frames_.append(stream.out_.view().substr(0, size));
        } catch (const std::bad_alloc&) {
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        stream.sent_part(size, session.wake_.loop().now());
        session.meter_.sent_data(size, stream.out_.empty());
        return 0;
    }

    static ssize_t data_length(nghttp2_session*, std::uint8_t, std::int32_t, std::int32_t, std::int32_t, std::uint32_t,
                               void*) {
        return data_bytes;  // nghttp2 applies the windows to it
    }

    static int on_stream_close(nghttp2_session*, std::int32_t id, std::uint32_t code, void* user) {
        auto& session = self(user);
        try {
            if (auto* stream = session.find(id)) session.stream_closed(*stream, code);
        } catch (const std::bad_alloc&) {
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        return 0;
    }

    static const nghttp2_session_callbacks* all() {
        static const nghttp2_session_callbacks* const made = [] {
            nghttp2_session_callbacks* fresh = nullptr;
            if (nghttp2_session_callbacks_new(&fresh) != 0) throw std::bad_alloc{};
            nghttp2_session_callbacks_set_on_begin_headers_callback(fresh, &on_begin_headers);
            nghttp2_session_callbacks_set_on_header_callback(fresh, &on_header);
            nghttp2_session_callbacks_set_on_invalid_header_callback(fresh, &on_invalid_header);
            nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(fresh, &on_invalid_frame);
            nghttp2_session_callbacks_set_on_data_chunk_recv_callback(fresh, &on_data);
            nghttp2_session_callbacks_set_on_frame_recv_callback(fresh, &on_frame);
            nghttp2_session_callbacks_set_before_frame_send_callback(fresh, &on_before_sending);
            nghttp2_session_callbacks_set_on_frame_send_callback(fresh, &on_frame_sent);
            nghttp2_session_callbacks_set_send_data_callback(fresh, &send_data);
            nghttp2_session_callbacks_set_data_source_read_length_callback(fresh, &data_length);
            nghttp2_session_callbacks_set_on_stream_close_callback(fresh, &on_stream_close);
            return fresh;
        }();
        return made;
    }
};

nghttp2_session* Http2Session::make(const conf::Http2& limits) {
    nghttp2_option* options = nullptr;
    if (nghttp2_option_new(&options) != 0) throw std::bad_alloc{};
    nghttp2_option_set_no_auto_window_update(options, 1);
    nghttp2_option_set_no_closed_streams(options, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(options, limits.table_bytes);
    nghttp2_option_set_max_settings(options, limits.settings);
    // Its own reckoning of a head is generous, and what it finds too long it drops without a word.
    nghttp2_option_set_max_send_header_block_length(options, 4 * wire::largest_head);
    nghttp2_option_set_max_continuations(options, limits.continuations);
    // Ours knows which resets are no attack, and has the error code and the counter that belong to one.
    constexpr std::uint64_t unlimited = std::uint64_t{1} << 32;
    nghttp2_option_set_stream_reset_rate_limit(options, unlimited, unlimited);
    // Ours answers first, likewise.
    nghttp2_option_set_max_outbound_ack(options, std::size_t{limits.control_frames} + 1);
    nghttp2_session* made = nullptr;
    auto allocator = memory_.allocator();  // nghttp2 copies it
    const int error = nghttp2_session_server_new3(&made, Callbacks::all(), this, options, &allocator);
    memory_.created();
    nghttp2_option_del(options);
    if (error != 0) throw std::bad_alloc{};
    return made;
}

}  // namespace nearhop::client
