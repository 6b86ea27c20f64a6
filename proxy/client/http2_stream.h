#pragma once

#include "conf/config.h"
#include "proxy/exchange/codec.h"
#include "proxy/loop/task.h"
#include "proxy/wire/buffer.h"
#include "proxy/wire/stream.h"

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace nearhop::client {

class Http2Session;

/// One stream of an HTTP/2 session: a request in its checked form and the client's side of its exchange (RFC 9113
/// section 8). Made when its HEADERS begin; freed when the exchange is over and nghttp2 has closed the stream, in
/// whichever order. Recycled: buffers go back to the thread's free lists, vectors keep their capacity.
class Http2Stream final : public exchange::Codec {
public:
    explicit Http2Stream(loop::Loop& loop) noexcept : wake_{loop} {}
    Http2Stream(const Http2Stream&) = delete;
    Http2Stream& operator=(const Http2Stream&) = delete;

    const message::Request& request() const noexcept { return request_; }
    /// Why the request is refused; none: it may be served.
    account::Fault fault() const noexcept { return fault_; }
    loop::Wake& wake() noexcept { return wake_; }
    /// A request without content has not ended: what follows may contradict that (RFC 9113 section 8.1.1).
    bool awaits_end() const noexcept {
        return !remote_ended_ && !request_.framing.has_body() && !request_.extended_connect;
    }

    Body body() override;
    void consume_body(std::size_t bytes) override;
    std::string_view request_trailers() const override { return trailers_in_; }
    void interim(unsigned status, std::span<const wire::Field> fields) override;
    void start(const exchange::ResponseStart& start) override;
    std::size_t write(std::string_view body) override;
    void finish(std::string_view trailers) override;
    void abort() override;
    bool take_back() noexcept override { return !started_; }
    void start_tunnel(const exchange::ResponseStart& start, std::string_view protocol) override;
    loop::Io flush() override;
    std::size_t unsent() const override { return closed_ ? 0 : out_.size(); }
    bool is_delivered() const noexcept override { return unsent() == 0; }  // a reset of the stream overtakes nothing
    bool gone() override { return closed_; }
    account::Fault why_gone() const noexcept override;
    exchange::ReaderPace::Taken taken() const noexcept override;
    wire::Deviations deviations() const override { return deviations_; }

private:
    friend class Http2Session;
    friend class Http2Streams;

    /// Response body bytes that wait here at most.
    static constexpr std::size_t most_unsent = wire::Stream::largest_write;

    void open(Http2Session& session, std::int32_t id) noexcept;
    void recycle() noexcept;
    loop::Task<void> run();

    /// What a header block is held to.
    struct HeadLimits {
        const conf::Limits& limits;
        unsigned cookie_crumbs;
        std::size_t received;  ///< of the block, compressed
        /// So many bytes are an attack, not a mistake: HPACK made them of a few (CVE-2016-6581).
        bool is_bomb(std::uint64_t bytes, std::uint64_t limit) const noexcept {
            return bytes > bomb_factor * limit && bytes > bomb_factor * received;
        }
        static constexpr unsigned bomb_factor = 4;
    };

    // What nghttp2 tells.
    /// A field of the head. False when the session has to end.
    bool add_field(std::string_view name, std::string_view value, const HeadLimits& limits);
    bool add_trailer(std::string_view name, std::string_view value, const HeadLimits& limits);
    void refuse(account::Fault fault) noexcept;
    account::Fault bad_request(wire::Deviation why) noexcept {
        deviations_.add(why);
        return account::Fault::client_bad_request;
    }
    void head_complete(bool ended);
    void add_body(std::string_view bytes) { in_.append(bytes); }
    void remote_ended() noexcept;
    void closed() noexcept;
    bool stalled() const noexcept;  ///< the client has taken nothing of the answer for its time
    void reset();                   ///< RST_STREAM now, whatever waits to be sent
    /// How much of the body fits into a DATA frame of `most` bytes; nothing: not yet, if !last.
    struct Part {
        std::size_t bytes;
        bool last;
    };
    Part next_part(std::size_t most) const noexcept;
    void sent_part(std::size_t bytes, loop::TimePoint now) noexcept;

    account::Fault check(bool ended);
    void respond(unsigned status, const exchange::ResponseStart& start, bool has_body);
    account::Fault check_method();
    account::Fault check_authority();
    account::Fault check_target();
    void join_cookies();
    std::string_view store(std::string_view text);
    void make_room(std::size_t bytes);

    enum Pseudo : std::uint8_t { method, scheme, authority, path, protocol, pseudo_count };

    loop::Wake wake_;
    Http2Session* session_ = nullptr;
    std::int32_t id_ = 0;
    std::size_t place_ = 0;  ///< in the session's list

    wire::Buffer head_;  ///< names and values, one after the other
    std::size_t head_size_ = 0;
    std::array<std::string_view, pseudo_count> pseudo_{};
    std::vector<wire::Field> fields_;
    unsigned cookies_ = 0;
    message::Request request_;
    account::Fault fault_ = account::Fault::none;
    wire::Deviations deviations_;

    wire::Buffer in_;  ///< request body that the exchange has not consumed: bounded by the stream's window
    std::string trailers_in_;
    std::size_t trailer_size_ = 0;  ///< of all that came
    account::Fault body_fault_ = account::Fault::none;
    account::Fault dismissed_ = account::Fault::none;  ///< why the edge ended the connection, and told this stream
    wire::Buffer out_;                                 ///< response body that has not left
    std::string trailers_out_;
    loop::TimePoint progress_{};   ///< when response bytes left last
    loop::TimePoint told_{};       ///< when the exchange was last told so
    std::uint64_t sent_ = 0;       ///< response body bytes that left
    unsigned heads_waiting_ = 0;   ///< header blocks, interim ones included, that nghttp2 has not sent
    std::uint64_t left_ = 0;       ///< of a request body whose length is declared
    std::uint64_t discarded_ = 0;  ///< request body bytes that nobody read
    loop::TimePoint reset_at_ = loop::TimePoint::max();  ///< of an answered stream whose request has not ended

    bool remote_ended_ = false;
    bool client_reset_ = false;
    bool started_ = false;       ///< the response's head was handed to nghttp2
    bool has_body_out_ = false;  ///< DATA follows it
    bool complete_ = false;      ///< finish() was called
    bool deferred_ = false;      ///< nghttp2 waits for resume_data
    bool full_ = false;          ///< the exchange waits for room in out_
    bool tunnel_ = false;        ///< raw bytes both ways
    bool aborted_ = false;       ///< abort() was called: RST_STREAM instead of an end
    bool closed_ = false;        ///< nghttp2 has closed the stream, or the session ended
    bool finished_ = false;      ///< the exchange is over
    bool running_ = false;
    bool answered_ = false;  ///< the answer's end has left before the request's came
    loop::Task<void> task_;
};

}  // namespace nearhop::client
