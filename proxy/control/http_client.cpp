#include "proxy/control/http_client.h"

#include "proxy/control/http_connection.h"

#include <utility>

namespace nearhop::control {

HttpClient::HttpClient(loop::Loop& loop, HttpServer server) : loop_{loop}, server_{std::move(server)} {}

HttpClient::~HttpClient() { drop(); }

void HttpClient::drop() noexcept {
    if (const auto gone = std::exchange(connection_, nullptr)) gone->cancel();
}

loop::Task<HttpAnswer> HttpClient::ask(std::string_view message, HttpLimits limits, OnHead on_head) {
    struct DropUnless {
        HttpClient& client;
        bool kept = false;
        ~DropUnless() {
            if (!kept) client.drop();
        }
    } end{*this};
    const Exchange exchange{message, limits, on_head, loop_.now() + limits.whole};
    HttpAnswer answer;
    if (connection_ && connection_->is_idle(limits.connection_age)) {
        answer.reused = true;
        co_await connection_->run(exchange, answer);
        // The server closed it as our request was under way: its right, and no sign of trouble.
        const bool again = message.starts_with("GET ") || message.starts_with("HEAD ");
        const bool was_closed = answer.failure == HttpFailure::closed || answer.failure == HttpFailure::tls;
        if (again && was_closed && answer.phases.first_byte < 0) answer = {};
    }
    if (!answer.reused) {
        drop();
        connection_ = std::make_shared<Connection>(loop_);
        if (co_await connection_->connect(server_, exchange, answer)) co_await connection_->run(exchange, answer);
    }
    end.kept = answer.failure == HttpFailure::none && connection_->keep();
    co_return answer;
}

}  // namespace nearhop::control
