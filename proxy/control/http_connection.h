#pragma once

// Brings Asio's headers along: for .cpp files only.
#include "proxy/control/http_client.h"
#include "proxy/loop/operations.h"
#include "proxy/wire/asio_stream.h"
#include "proxy/wire/buffer.h"
#include "proxy/wire/framing.h"

#include <array>

namespace nearhop::control {

/// What a request is sent with; refers to what the caller keeps.
struct Exchange {
    std::string_view message;
    const HttpLimits& limits;
    const HttpClient::OnHead& on_head;
    loop::TimePoint deadline;
};

/// One connection of an HttpClient. While it idles a read is under way, which tells of the server's end, takes in what
/// TLS sends by itself, and brings the first bytes of the next answer.
class HttpClient::Connection final : public loop::Operations {
public:
    explicit Connection(loop::Loop& loop);

    /// TCP, and TLS where it is wanted. False: `answer` says why.
    loop::Task<bool> connect(const HttpServer& server, const Exchange& exchange, HttpAnswer& answer);
    /// Sends the request and reads the answer.
    loop::Task<> run(const Exchange& exchange, HttpAnswer& answer);
    /// After a whole answer: waits for another request, unless the server does not.
    bool keep();
    bool is_idle(loop::milliseconds most_age) const noexcept;

    void cancel() noexcept override { stream_.close(); }

private:
    bool open(int family, HttpAnswer& answer);
    loop::Task<bool> handshake(const HttpServer& server, HttpAnswer& answer);
    void send(std::string_view message);
    void wait_for_byte() noexcept;
    void begin_read();
    loop::Task<loop::Ended> read(HttpAnswer& answer);
    loop::Task<bool> read_head(const Exchange& exchange, HttpAnswer& answer, wire::Framing& framing);
    loop::Task<bool> read_body(const HttpLimits& limits, wire::Framing framing, HttpAnswer& answer);
    void fail_before_answer(const loop::Ended& ended, HttpAnswer& answer) const;
    void on_time() noexcept override;

    wire::AsioStream stream_;
    Slot reading_, writing_;
    std::array<char, 4096> block_;
    std::string out_;
    wire::Buffer in_;
    loop::TimePoint made_;
    loop::TimePoint sent_{}, whole_{}, deadline_{};
    loop::milliseconds silence_{};
    bool waits_for_first_byte_ = false;
    bool lost_ = false;
    bool over_ = false;  ///< the server has ended its side
    bool keep_ = false;
    bool idle_ = false;
};

}  // namespace nearhop::control
