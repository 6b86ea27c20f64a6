#pragma once

// Brings Asio's and Beast's headers along: for .cpp files only.
#include "proxy/admin/page.h"
#include "proxy/loop/operations.h"
#include "proxy/wire/asio_stream.h"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace nearhop::admin {

/// A request, read whole.
struct Request {
    std::string method, target, body;
    std::string authorization;  ///< empty: absent, or there twice
    bool keep = true;           ///< the client keeps the connection
};

/// One connection of the admin listener: HTTP/1.1 by Beast, over TCP or TLS. Each step takes at most `patience`.
class HttpSession final : public loop::Operations {
public:
    struct Limits {
        std::size_t head_bytes, body_bytes;
        loop::milliseconds patience;
    };

    HttpSession(loop::Loop& loop, boost::asio::ip::tcp::socket socket, const Limits& limits);

    /// False: TLS refused the client, and has sent its alert.
    loop::Task<bool> handshake(ssl_ctx_st* context);
    /// False when the session is over: the client left, was too slow or has been refused.
    loop::Task<bool> read(Request& into);
    /// False when the client does not take it.
    loop::Task<bool> write(const Page& page, bool with_body, bool keep);
    /// The orderly end, behind the last answer.
    loop::Task<void> end();

    void cancel() noexcept override { stream_.close(); }

private:
    loop::Task<bool> refuse(unsigned status, std::string_view why);
    loop::Task<bool> refuse(boost::system::error_code error);

    wire::AsioStream stream_;
    const Limits limits_;
    boost::beast::flat_buffer in_;
    std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
    boost::beast::http::response<boost::beast::http::string_body> answer_;
};

}  // namespace nearhop::admin
