#pragma once

#include "conf/config.h"
#include "proxy/account/counters.h"
#include "proxy/origin/channel.h"
#include "proxy/origin/connection.h"
#include "proxy/wire/chunked.h"
#include "proxy/wire/message_writer.h"

#include <memory>

namespace nearhop::origin {

/// HTTP/1.1: a connection of its own for each request, lent by a pool.
class Http1Channel final : public Channel {
public:
    Http1Channel(const loop::Loop& loop, account::WorkerCounters& counters) noexcept
        : loop_{loop}, counters_{counters} {}

    /// Begins with a connection; `limits` outlive the request.
    void open(std::unique_ptr<Connection> lent, const conf::Limits& limits);

    void send_head(const message::RequestStart& start) override;
    std::size_t send_body(std::string_view bytes) override;
    void end_body(std::string_view trailers) override;
    loop::Io flush() override;
    bool is_full() const noexcept override { return writer_.queued(connection_->stream) >= wire::Stream::high_water; }
    bool is_sent() const noexcept override { return writer_.queued(connection_->stream) == 0; }
    std::uint64_t sent() const noexcept override { return connection_->stream.sent; }

    Progress receive_head() override;
    Body body(std::string_view& bytes) override;
    void consume_body(std::size_t bytes) noexcept override;
    bool body_read() const noexcept override { return framing_.kind == wire::Framing::Kind::length && left_ == 0; }
    std::string_view trailers() const noexcept override { return decoder_.trailers(); }

    void begin_tunnel() noexcept override;
    bool is_delivered() const noexcept override { return connection_->stream.is_delivered(); }
    void quiet() noexcept override { connection_->stream.release_all(); }

    const std::string& address() const noexcept override { return connection_->address; }
    Delivery delivery() const noexcept override { return connection_->stream.socket().delivery(); }
    void ask_path() noexcept override { connection_->stream.socket().ask_path(true); }

    void finish(bool clean) override;
    void cancel() noexcept override { connection_->stream.socket().reset(); }
    void reset() noexcept override;

private:
    Progress fail(account::Fault fault) noexcept {
        fault_ = fault;
        return Progress::failed;
    }
    Progress bad_response(wire::Deviation why) noexcept {
        note(why);
        return fail(account::Fault::origin_bad_response);
    }
    void note(wire::Deviation found) noexcept;
    bool is_young() const noexcept;
    Progress take_head(std::size_t size);
    Progress judge_head();
    Progress end_without_head() noexcept;
    Body fail_body(account::Fault fault) noexcept {
        fault_ = fault;
        return Body::failed;
    }
    /// Body bytes that are in the input buffer already; none: complete or failed, or more must be read.
    Body buffered_body(std::string_view& bytes);
    Body next_chunk(std::string_view& bytes);
    bool is_reusable() const noexcept;

    const loop::Loop& loop_;
    account::WorkerCounters& counters_;
    std::unique_ptr<Connection> connection_;
    const conf::Limits* limits_ = nullptr;
    std::string_view method_;
    std::string_view upgrade_;  ///< the protocol that was asked for, empty: none
    wire::MessageWriter writer_;
    bool chunked_out_ = false;
    bool request_ended_ = false;
    bool deaf_ = false;  ///< the origin takes nothing more
    bool tunnel_ = false;
    bool told_end_ = false;  ///< the end of our direction of the tunnel

    wire::HeadScan scan_;
    wire::Buffer head_bytes_;
    wire::ChunkedDecoder decoder_;
    std::uint64_t left_ = 0;      ///< of a body whose length was announced
    std::string_view chunk_;      ///< decoded data in the input buffer, not consumed yet
    std::size_t chunk_used_ = 0;  ///< input bytes up to the end of chunk_
    unsigned interims_ = 0;
    bool body_complete_ = false;
    bool keep_alive_ = false;
};

}  // namespace nearhop::origin
