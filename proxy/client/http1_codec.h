#pragma once

#include "conf/config.h"
#include "proxy/exchange/codec.h"
#include "proxy/wire/chunked.h"
#include "proxy/wire/message_writer.h"
#include "proxy/wire/stream.h"

namespace nearhop::client {

/// HTTP/1.1 (and 1.0) from a client: reads a head, checks it into a Request, carries both bodies. One per session;
/// begin_request() makes it ready for the next head.
class Http1Codec final : public exchange::Codec {
public:
    Http1Codec(wire::Stream& stream, bool secure) noexcept : stream_{stream}, secure_{secure} {}

    /// Before each head. `limits` must outlive the request.
    void begin_request(const conf::Limits& limits) noexcept;

    enum class Read : std::uint8_t { pending, ready, refused, closed };
    /// Reads towards a whole head. ready: request() may be used. refused: fault() says why.
    Read read_head();
    bool head_started() const noexcept { return started_; }
    /// Of a refused or incomplete head, only the parts that were understood.
    const message::Request& request() const noexcept { return request_; }
    account::Fault fault() const noexcept { return fault_; }
    wire::Deviations deviations() const override { return deviations_; }

    /// Answers from now on carry Connection: close.
    void close_after_response() noexcept { close_ = true; }
    bool keeps_alive() const noexcept { return !close_ && !aborted_; }
    bool aborted() const noexcept { return aborted_; }
    /// True when a client could take the end of the connection for the end of the body.
    bool close_delimited() const noexcept { return close_delimited_; }
    /// The whole request body was read.
    bool body_complete();
    bool waits_for_continue() const noexcept { return request_.expects_continue && !continued_; }
    /// Gives memory back while the connection idles.
    void release() noexcept;

    Body body() override;
    void consume_body(std::size_t bytes) override;
    std::string_view request_trailers() const override { return decoder_.trailers(); }
    void interim(unsigned status, std::span<const wire::Field> fields) override;
    void start(const exchange::ResponseStart& start) override;
    std::size_t write(std::string_view body) override;
    void finish(std::string_view trailers) override;
    void abort() override { aborted_ = true; }
    bool take_back() noexcept override;
    void start_tunnel(const exchange::ResponseStart& start, std::string_view protocol) override;
    void quiet() noexcept override { stream_.release_all(); }
    loop::Io flush() override;
    std::size_t unsent() const override { return writer_.queued(stream_); }
    bool is_delivered() const noexcept override { return unsent() == 0 && stream_.is_delivered(); }
    bool gone() override;
    exchange::ReaderPace::Taken taken() const noexcept override;

private:
    account::Fault refuse(account::Fault fault, wire::Deviation why) noexcept {
        deviations_.add(why);
        return fault;
    }
    account::Fault bad_request(wire::Deviation why) noexcept { return refuse(account::Fault::client_bad_request, why); }
    account::Fault check();
    account::Fault check_target();
    account::Fault check_host();
    account::Fault check_expectations();
    void find_upgrade();
    Body tunnelled();
    void begin_response() noexcept;
    std::uint64_t handed_over() const noexcept { return stream_.sent + stream_.unsent(); }

    wire::Stream& stream_;
    const bool secure_;
    const conf::Limits* limits_ = nullptr;
    wire::HeadScan scan_;
    wire::Buffer head_bytes_;
    wire::RequestHead head_;
    message::Request request_;
    account::Fault fault_ = account::Fault::none;
    wire::Deviations deviations_;
    wire::ChunkedDecoder decoder_;
    std::uint64_t left_ = 0;
    std::string_view chunk_;
    std::size_t chunk_used_ = 0;
    wire::MessageWriter writer_;
    std::uint64_t response_at_ = 0;  ///< handed_over() before the response
    unsigned empty_lines_ = 0;       ///< skipped before the head
    bool started_ = false;
    bool body_done_ = false;
    bool continued_ = false;
    bool responding_ = false;
    bool close_ = false;
    bool aborted_ = false;
    bool chunked_out_ = false;
    bool bodyless_out_ = false;
    bool close_delimited_ = false;
    bool tunnel_ = false;  ///< raw bytes both ways until the connection ends
    bool ending_ = false;  ///< our direction of the tunnel ends once everything is sent
};

}  // namespace nearhop::client
