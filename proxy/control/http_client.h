#pragma once

#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"
#include "proxy/wire/head.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <sys/socket.h>

struct ssl_ctx_st;

namespace nearhop::control {

/// The server to ask, and how to reach it.
struct HttpServer {
    sockaddr_storage address{};
    socklen_t size = 0;
    std::shared_ptr<ssl_ctx_st> tls{};  ///< says whom to trust; null: plain HTTP
    std::string name{};     ///< a name or an address: sent as SNI and verified. Empty: any name that `tls` trusts
    std::string preface{};  ///< what a connection begins with, in the clear, such as a PROXY header
};

struct HttpLimits {
    loop::milliseconds connect{1'000};          ///< TCP
    loop::milliseconds whole{10'000};           ///< from the call to the end of the answer
    loop::milliseconds silence{};               ///< without a byte of the answer; 0: as long as `whole` goes
    loop::milliseconds connection_age{60'000};  ///< then another one is made; 0: one for each request
    std::size_t head_bytes = std::size_t{64} * 1024;
    unsigned head_fields = 1000;
    unsigned interim_answers = 8;
    std::size_t body_bytes = std::size_t{1024} * 1024;
    bool cut_body = false;  ///< what is above body_bytes is not read, and is no failure
};

/// How an exchange failed. The first three say that the server has not seen the request.
enum class HttpFailure : std::uint8_t {
    none,
    connect,  ///< HttpAnswer::error has the errno
    connect_timeout,
    tls,          ///< also later, where the server refused our certificate
    certificate,  ///< HttpAnswer::verify_result says why
    tls_timeout,
    lost,    ///< nothing of the request was acknowledged
    closed,  ///< without a byte of an answer
    head_timeout,
    body_timeout,
    malformed,  ///< no HTTP/1, ambiguous, or it ended too early
    too_large,  ///< above HttpLimits::body_bytes
};

/// Seconds; negative: the phase was not reached, or not needed.
struct HttpPhases {
    double connect = -1;
    double tls = -1;
    double first_byte = -1;  ///< from the request sent to the first byte of the answer
};

struct HttpAnswer {
    HttpFailure failure = HttpFailure::none;
    int error = 0;  ///< errno of `connect`
    long verify_result = 0;
    std::string detail;   ///< the failure in words: an errno's, OpenSSL's, ours
    unsigned status = 0;  ///< 0: no head came
    std::string body;     ///< without its transfer coding
    HttpPhases phases;
    bool reused = false;  ///< over the connection of an earlier request
};

/// The control thread's HTTP/1.1 client, on Asio: one server, one request at a time, over a connection that is kept
/// where the server allows it. Failures are values.
class HttpClient {
public:
    /// Sees the head of the answer. False: nothing more of it is wanted, and the connection is closed.
    using OnHead = std::function<bool(const wire::ResponseHead&)>;

    HttpClient(loop::Loop& loop, HttpServer server);
    ~HttpClient();
    HttpClient(const HttpClient&) = delete;
    HttpClient& operator=(const HttpClient&) = delete;

    /// `message` is a whole request, Host and Content-Length included. Where a kept connection turns out to be closed,
    /// a GET or HEAD goes out again on a new one. Throws where memory is out. Dropping the Task ends the exchange.
    loop::Task<HttpAnswer> ask(std::string_view message, HttpLimits limits, OnHead on_head = {});

private:
    class Connection;
    void drop() noexcept;

    loop::Loop& loop_;
    const HttpServer server_;
    std::shared_ptr<Connection> connection_;
};

}  // namespace nearhop::control
