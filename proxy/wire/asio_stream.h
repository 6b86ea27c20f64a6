#pragma once

// Brings Asio's headers along: for .cpp files that speak Asio, never for a public header.
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/ssl/stream_base.hpp>

#include <memory>
#include <optional>
#include <utility>

struct ssl_ctx_st;

namespace nearhop::wire {

/// A TCP socket with or without TLS, as one AsyncStream of Asio's, so that what reads and writes HTTP is compiled once.
/// For the control thread and other places that are not hot: requests have wire::Stream.
class AsioStream {
public:
    using executor_type = boost::asio::ip::tcp::socket::executor_type;
    using Tls = boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>;
    using Role = boost::asio::ssl::stream_base::handshake_type;

    explicit AsioStream(boost::asio::io_context& context) : socket_{context} {}

    boost::asio::ip::tcp::socket& socket() noexcept { return socket_; }
    executor_type get_executor() noexcept { return socket_.get_executor(); }

    /// From here on TLS; a handshake comes first. `context` lives on with the stream.
    void use_tls(ssl_ctx_st* context);
    bool is_tls() const noexcept { return tls_.has_value(); }
    SSL* native() { return tls_->native_handle(); }

    template <class Token>
    auto async_handshake(Role role, Token&& token) {
        return tls_->async_handshake(role, std::forward<Token>(token));
    }
    template <class Token>
    auto async_shutdown(Token&& token) {
        return tls_->async_shutdown(std::forward<Token>(token));
    }
    template <class Buffers, class Token>
    auto async_read_some(const Buffers& buffers, Token&& token) {
        return tls_ ? tls_->async_read_some(buffers, std::forward<Token>(token))
                    : socket_.async_read_some(buffers, std::forward<Token>(token));
    }
    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return tls_ ? tls_->async_write_some(buffers, std::forward<Token>(token))
                    : socket_.async_write_some(buffers, std::forward<Token>(token));
    }
    /// Ends what is under way, with operation_aborted.
    void close() noexcept {
        boost::system::error_code ignored;
        socket_.close(ignored);
    }

private:
    boost::asio::ip::tcp::socket socket_;
    std::optional<Tls> tls_;
};

}  // namespace nearhop::wire
