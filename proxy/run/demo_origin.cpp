#include "proxy/run/demo_origin.h"

#include "proxy/loop/operations.h"
#include "proxy/loop/pause.h"
#include "proxy/loop/task.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <list>
#include <optional>
#include <stdexcept>
#include <utility>

namespace nearhop::run {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using loop::Task;
using Request = http::request<http::string_body>;

constexpr loop::milliseconds retry_after{100};
constexpr std::size_t most_head = std::size_t{64} * 1024;
constexpr std::uint64_t most_body = std::uint64_t{64} * 1024 * 1024;

class Connection final : public loop::Operations {
public:
    Connection(loop::Loop& loop, tcp::socket socket) : Operations{loop}, socket_{std::move(socket)} {}

    /// Until the client ends it, or `answer` gives none.
    template <class Answer>
    Task<> serve(Answer answer) {
        for (;;) {
            request_.emplace();
            request_->header_limit(most_head);
            request_->body_limit(most_body);
            const loop::Ended read = co_await http::async_read(socket_, in_, *request_, token());
            if (read.error) break;
            auto body = answer(request_->get());
            if (!body) break;
            answer_ = {http::status::ok, 11};
            answer_.set(http::field::content_type, "application/json");
            answer_.content_length(body->size());
            answer_.keep_alive(request_->get().keep_alive());
            if (request_->get().method() != http::verb::head) answer_.body() = std::move(*body);
            const loop::Ended sent = co_await http::async_write(socket_, answer_, token());
            if (sent.error || !answer_.keep_alive()) break;
        }
        cancel();
    }
    void cancel() noexcept override {
        error_code ignored;
        socket_.close(ignored);
    }

private:
    tcp::socket socket_;
    boost::beast::flat_buffer in_{2 * most_head};
    std::optional<http::request_parser<http::string_body>> request_;
    http::response<http::string_body> answer_;
};

class Acceptor final : public loop::Operations {
public:
    explicit Acceptor(loop::Loop& loop)
        : Operations{loop},
          acceptor_{loop.context(), tcp::endpoint{asio::ip::address_v4::loopback(), 0}},
          next_{loop.context()},
          pause_{std::make_shared<loop::Pause>(loop)} {}

    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    template <class Admit>
    Task<> accept(Admit admit) {
        for (;;) {
            const loop::Ended accepted = co_await acceptor_.async_accept(next_, token());
            if (!accepted.error)
                admit(std::move(next_));
            else
                co_await pause_->wait(retry_after);
        }
    }
    void cancel() noexcept override {
        error_code ignored;
        acceptor_.close(ignored);
        pause_->cancel();
    }

private:
    tcp::acceptor acceptor_;
    tcp::socket next_;
    const std::shared_ptr<loop::Pause> pause_;
};

}  // namespace

class DemoOrigins::Origin {
public:
    Origin(loop::Loop& owner, std::string name) : loop_{owner}, name_{std::move(name)} {
        auto admit = [this](tcp::socket socket) {
            auto& session = sessions_.emplace_back(std::make_shared<Connection>(loop_, std::move(socket)));
            auto answer = [this](const Request& request) { return answer_to(request); };
            session.task = session.connection->serve(answer);
            session.task.start();
        };
        accepting_ = acceptor_->accept(admit);
        accepting_.start();
    }
    ~Origin() { cut(); }
    Origin(const Origin&) = delete;
    Origin& operator=(const Origin&) = delete;

    std::uint16_t port() const { return acceptor_->port(); }
    void sweep() {
        std::erase_if(sessions_, [](const Session& session) { return session.task.done(); });
    }
    void cut() {
        accepting_ = {};
        acceptor_->cancel();
        sessions_.clear();
    }

private:
    struct Session {
        explicit Session(std::shared_ptr<Connection> from) : connection{std::move(from)} {}
        ~Session() {
            task = {};
            connection->cancel();
        }
        Session(const Session&) = delete;
        Session& operator=(const Session&) = delete;
        const std::shared_ptr<Connection> connection;
        Task<> task{};
    };

    std::optional<std::string> answer_to(const Request& request) {
        const std::string target{request.target()};
        if (request.method() == http::verb::post && target == "/demo/break") {
            broken_ = true;
            return name_ + " is broken now; POST /demo/repair fixes it\n";
        }
        if (request.method() == http::verb::post && target == "/demo/repair") {
            broken_ = false;
            return name_ + " works again\n";
        }
        if (broken_) return std::nullopt;
        return "{\"region\": \"" + name_ + "\", \"path\": \"" + target + "\"}\n";
    }

    loop::Loop& loop_;
    std::string name_;
    const std::shared_ptr<Acceptor> acceptor_ = std::make_shared<Acceptor>(loop_);
    bool broken_ = false;
    std::list<Session> sessions_;
    Task<> accepting_;
};

DemoOrigins::DemoOrigins(const std::vector<std::string>& names) try {
    for (const auto& name : names) origins_.push_back(std::make_unique<Origin>(loop_, name));
    loop_.after_batch([this] {
        for (const auto& origin : origins_) origin->sweep();
    });
    thread_ = std::thread{[this] {
        loop_.run();
        for (const auto& origin : origins_) origin->cut();
    }};
} catch (const boost::system::system_error& error) {
    throw std::runtime_error{std::string{"demo origin: "} + error.what()};
}

DemoOrigins::~DemoOrigins() {
    loop_.stop();
    thread_.join();
}

std::uint16_t DemoOrigins::port(std::size_t index) const { return origins_[index]->port(); }

}  // namespace nearhop::run
