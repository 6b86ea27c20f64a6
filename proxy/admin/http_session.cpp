#include "proxy/admin/http_session.h"

#include "proxy/wire/framing.h"
#include "proxy/wire/head.h"

#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

#include <algorithm>
#include <utility>

namespace nearhop::admin {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;

constexpr std::size_t most_fields = 100;
constexpr loop::milliseconds last_look{1000};       // for the last answer to arrive
constexpr std::size_t most_discarded = 256 * 1024;  // of what comes meanwhile

std::string_view view(boost::beast::string_view text) noexcept { return {text.data(), text.size()}; }

/// False where two recipients could disagree about the request: Beast lets through what RFC 9112 does not.
bool is_clear(const http::request_header<>& head) {
    wire::RequestHead seen;
    for (const auto& field : head) {
        const auto name = view(field.name_string());
        seen.fields.push_back({name, view(field.value()), wire::classify(name)});
    }
    seen.minor = head.version() == 10 ? 0 : 1;
    return (head.version() == 10 || head.version() == 11) && seen.fields.size() <= most_fields &&
           wire::valid_target(view(head.target())) && wire::request_framing(seen);
}

/// The value of a field that may come once only; empty when it is absent or repeated.
std::string only_value(const http::fields& fields, http::field name) {
    if (fields.count(name) != 1) return {};
    return std::string{view(fields.find(name)->value())};
}

/// Page::fields: lines, each with CRLF.
void set_fields(http::fields& into, std::string_view lines) {
    while (!lines.empty()) {
        const auto colon = lines.find(": ");
        const auto end = lines.find("\r\n");
        const auto name = lines.substr(0, colon), value = lines.substr(colon + 2, end - colon - 2);
        into.set({name.data(), name.size()}, {value.data(), value.size()});
        lines.remove_prefix(end + 2);
    }
}

}  // namespace

HttpSession::HttpSession(loop::Loop& loop, asio::ip::tcp::socket socket, const Limits& limits)
    : Operations{loop}, stream_{loop.context()}, limits_{limits}, in_{2 * limits.head_bytes} {
    stream_.socket() = std::move(socket);
}

loop::Task<bool> HttpSession::handshake(ssl_ctx_st* context) {
    stream_.use_tls(context);
    expires_after(limits_.patience);
    const auto done = co_await stream_.async_handshake(asio::ssl::stream_base::server, token());
    if (!done.error) co_return true;
    if (!timed_out()) co_await end();  // so that our alert arrives
    co_return false;
}

loop::Task<bool> HttpSession::read(Request& into) {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(limits_.head_bytes));
    parser_->body_limit(limits_.body_bytes);
    expires_after(limits_.patience);
    const auto head = co_await http::async_read_header(stream_, in_, *parser_, token());
    if (head.error) co_return co_await refuse(head.error);
    auto& message = parser_->get();
    if (!is_clear(message)) co_return co_await refuse(400, "the request is malformed\n");
    if (parser_->chunked()) co_return co_await refuse(http::error::body_limit);
    if (!parser_->is_done()) {
        const auto body = co_await http::async_read(stream_, in_, *parser_, token());
        if (body.error) co_return co_await refuse(body.error);
    }
    into = {.method = std::string{view(message.method_string())},
            .target = std::string{view(message.target())},
            .body = std::move(message.body()),
            .authorization = only_value(message, http::field::authorization),
            .keep = message.keep_alive()};
    co_return true;
}

loop::Task<bool> HttpSession::write(const Page& page, bool with_body, bool keep) {
    answer_ = {static_cast<http::status>(page.status), 11};
    answer_.set(http::field::content_type, {page.type.data(), page.type.size()});
    answer_.content_length(page.body.size());
    answer_.set(http::field::cache_control, "no-store");
    answer_.set("X-Content-Type-Options", "nosniff");
    set_fields(answer_, page.fields);
    answer_.keep_alive(keep);
    if (with_body) answer_.body() = page.body;
    expires_after(limits_.patience);
    const auto sent = co_await http::async_write(stream_, answer_, token());
    answer_.body() = {};
    co_return !sent.error;
}

loop::Task<bool> HttpSession::refuse(unsigned status, std::string_view why) {
    const Page page{.status = status, .body = std::string{why}};
    if (co_await write(page, true, false)) co_await end();
    co_return false;
}

loop::Task<bool> HttpSession::refuse(boost::system::error_code error) {
    if (error == http::error::body_limit) co_return co_await refuse(413, "the body is chunked or above 16 KiB\n");
    if (error == http::error::header_limit || error == http::error::buffer_overflow)
        co_return co_await refuse(431, "the request head is above 16 KiB\n");
    const bool is_over = error == http::error::end_of_stream || error == http::error::partial_message;
    if (is_over || error.category() != http::make_error_code(http::error::bad_value).category()) co_return false;
    co_return co_await refuse(400, "the request is malformed\n");
}

/// Closing while bytes come in would reset the connection, and the client might never see the answer.
loop::Task<void> HttpSession::end() {
    expires_after(last_look);
    if (stream_.is_tls()) co_await stream_.async_shutdown(token());
    boost::system::error_code ignored;
    stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    in_.clear();
    for (std::size_t most = most_discarded; most > 0;) {
        const auto got = co_await stream_.socket().async_read_some(in_.prepare(limits_.head_bytes), token());
        if (got.error) co_return;
        most -= std::min(most, got.bytes);
    }
}

}  // namespace nearhop::admin
