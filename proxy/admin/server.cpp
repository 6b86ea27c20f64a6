#include "proxy/admin/server.h"

#include "conf/syntax.h"
#include "proxy/admin/http_session.h"
#include "proxy/loop/keeper.h"
#include "proxy/loop/pause.h"
#include "proxy/shared/failures.h"

#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <fcntl.h>
#include <string_view>
#include <utility>

namespace nearhop::admin {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int backlog = 64;
constexpr loop::milliseconds retry_after{100};  // where no connection can be accepted

std::string text_of(const tcp::endpoint& endpoint) {
    return conf::to_string(conf::ListenAddress{endpoint.address().to_string(), endpoint.port()});
}

/// Counts the bytes of a page for as long as it is being read.
class Holds {
public:
    Holds(std::size_t& all, std::size_t bytes) noexcept : all_{all}, bytes_{bytes} { all_ += bytes_; }
    ~Holds() { all_ -= bytes_; }
    Holds(const Holds&) = delete;
    Holds& operator=(const Holds&) = delete;

private:
    std::size_t& all_;
    std::size_t bytes_;
};

}  // namespace

struct AdminServer::Listener final : loop::Operations {
    explicit Listener(loop::Loop& owner)
        : Operations{owner},
          acceptor{owner.context()},
          next{owner.context()},
          pause{std::make_shared<loop::Pause>(owner)} {}

    void open(const tcp::endpoint& at) {
        acceptor.open(at.protocol());
        ::fcntl(acceptor.native_handle(), F_SETFD, FD_CLOEXEC);
        acceptor.set_option(tcp::acceptor::reuse_address{true});
        acceptor.bind(at);
        acceptor.listen(backlog);
    }
    void cancel() noexcept override {
        error_code ignored;
        acceptor.close(ignored);
        pause->cancel();
    }

    tcp::acceptor acceptor;
    tcp::socket next;  ///< who is accepted next, and from where
    tcp::endpoint peer;
    const std::shared_ptr<loop::Pause> pause;
};

struct AdminServer::Session {
    Session(std::shared_ptr<HttpSession> connection, const geo::Address& from, bool is_untrusted)
        : http{std::move(connection)}, peer{from}, untrusted{is_untrusted} {}
    ~Session() {
        task = {};  // it ends before what it uses
        http->cancel();
    }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    const std::shared_ptr<HttpSession> http;
    const geo::Address peer;
    const bool untrusted;
    std::shared_ptr<const wire::ServerTls> tls{};  ///< null: plain
    loop::Task<void> task{};
};

AdminServer::AdminServer(loop::Loop& loop, control::Control& control, const shared::Board& board,
                         shared::Registry& registry)
    : AdminServer(
          loop,
          Process{[&control]() -> const control::Control::Status& { return control.status(); },
                  [&control] { return control.reload(); },
                  [&control](control::OverrideOrder order) { return control.override_origin(std::move(order)); },
                  shared::noting(registry, account::Duty::admin)},
          board, registry) {}

AdminServer::AdminServer(loop::Loop& loop, Process process, const shared::Board& board,
                         const shared::Registry& registry)
    : loop_{loop},
      process_{std::move(process)},
      board_{board},
      registry_{registry},
      pages_{loop},
      page_turn_{loop},
      ended_{loop} {
    reaper_ = loop::keep(loop_, [this] { return reap(); }, [this](const std::exception& bug) { failed(bug); });
    reaper_.start();
}

AdminServer::~AdminServer() {
    accepting_ = {};
    if (listener_) listener_->cancel();
}

bool AdminServer::open(const conf::Admin& admin, std::string& error) {
    const auto& wanted = **admin.listen;
    error_code bad;
    const tcp::endpoint at{asio::ip::make_address(wanted.address, bad), wanted.port};
    if (bad) {
        error = wanted.address + ": no address";
        return false;
    }
    auto fresh = std::make_shared<Listener>(loop_);
    try {
        fresh->open(at);
    } catch (const boost::system::system_error& failure) {
        error = text_of(at) + ": " + failure.code().message();
        return false;
    }
    listener_ = std::move(fresh);
    open_ = true;
    accepting_ = loop::keep(loop_, [this] { return accept(); }, [this](const std::exception& bug) { failed(bug); });
    accepting_.start();
    return true;
}

std::string AdminServer::address() const {
    error_code bad;
    const auto at = open_ ? listener_->acceptor.local_endpoint(bad) : tcp::endpoint{};
    return open_ && !bad ? text_of(at) : std::string{};
}

void AdminServer::close() {
    open_ = false;
    // The caller may be one of the sessions: the reaper destroys them, and the listener, later.
    ended_.notify();
}

std::size_t AdminServer::sessions() const noexcept { return sessions_.size(); }

loop::Task<void> AdminServer::accept() {
    Listener& listener = *listener_;
    for (;;) {
        const auto accepted = co_await listener.acceptor.async_accept(listener.next, listener.peer, listener.token());
        if (!accepted.error) {
            try {
                admit();
            } catch (const std::exception& error) {
                failed(error);
            }
            continue;
        }
        // Out of descriptors: those that wait in the queue stay there, so look again in a while.
        co_await listener.pause->wait(retry_after);
    }
}

void AdminServer::admit() {
    tcp::socket socket = std::move(listener_->next);  // closes it, whatever comes
    ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
    const auto peer = geo::Address::from(listener_->peer.data()).value_or(geo::Address{});
    const auto snapshot = board_.latest();
    const bool is_untrusted = !is_allowed(snapshot->routing->config.admin, peer);
    const auto untrusted =
        std::count_if(sessions_.begin(), sessions_.end(), [](const auto& s) { return s->untrusted; });
    if (sessions_.size() >= most_sessions || (is_untrusted && static_cast<std::size_t>(untrusted) >= most_untrusted))
        return;
    auto http =
        std::make_shared<HttpSession>(loop_, std::move(socket), HttpSession::Limits{head_bytes, body_bytes, patience});
    auto session = std::make_unique<Session>(std::move(http), peer, is_untrusted);
    session->tls = snapshot->admin_tls;
    session->task = run(*session);
    sessions_.push_back(std::move(session));
    sessions_.back()->task.start();
}

void AdminServer::failed(const std::exception& error) const noexcept {
    if (process_.failed) process_.failed(error);
}

/// A coroutine cannot destroy itself; this one destroys those that have ended.
loop::Task<void> AdminServer::reap() {
    for (;;) {
        co_await ended_.wait();
        if (!open_ && listener_) {
            accepting_ = {};
            listener_->cancel();
            listener_.reset();
        }
        std::erase_if(sessions_, [this](const auto& session) { return !open_ || session->task.done(); });
    }
}

/// The root of a session's coroutines: whatever happens below ends this session only.
loop::Task<void> AdminServer::run(Session& session) {
    // From the first wait on the session belongs to the list; whatever happens, the reaper learns of its end.
    struct AtEnd {
        AdminServer& server;
        Session& session;
        ~AtEnd() {
            session.http->cancel();
            server.ended_.notify();
        }
    } const at_end{*this, session};
    try {
        co_await serve(session);
    } catch (const std::exception& error) {
        failed(error);
    }
}

loop::Task<void> AdminServer::serve(Session& session) {
    auto& http = *session.http;
    if (session.tls && !co_await http.handshake(session.tls->context())) co_return;
    Request request;
    for (bool keep = true; keep && open_;) {
        if (!co_await http.read(request)) co_return;
        const std::string_view target = request.target;
        const std::size_t question_mark = target.find('?');
        const Ask ask{request.method, target.substr(0, question_mark),
                      question_mark == target.npos ? std::string_view{} : target.substr(question_mark + 1),
                      request.authorization, request.body};
        const auto snapshot = board_.latest();
        const bool allowed = is_allowed(snapshot->routing->config.admin, session.peer);
        const Page page = co_await page_for(ask, snapshot, allowed);
        keep = request.keep && allowed && open_;
        const bool with_body = request.method != "HEAD";
        const Holds holds{held_, is_large(ask) && with_body ? page.body.size() : 0};
        if (!co_await http.write(page, with_body, keep)) co_return;
    }
    co_await http.end();
}

loop::Task<Page> AdminServer::page_for(const Ask& ask, std::shared_ptr<const shared::Snapshot> snapshot, bool allowed) {
    if (allowed && is_large(ask)) co_return co_await large_page_for(std::string{ask.path}, std::move(snapshot));
    co_return co_await answer(ask, allowed, *snapshot, registry_, process_);
}

/// Where a configuration is large, such a page takes long to make: the loop has probes to do meanwhile.
loop::Task<Page> AdminServer::large_page_for(std::string path, std::shared_ptr<const shared::Snapshot> snapshot) {
    const auto turn = co_await page_turn_.take();
    if (held_ >= most_held)
        co_return Page{.status = 503, .body = "other readers still hold large pages\n", .fields = "Retry-After: 5\r\n"};
    auto make = [path = std::move(path), snapshot = std::move(snapshot), &registry = registry_,
                 status = process_.status()] { return large_page(path, *snapshot, registry, status); };
    co_return co_await pages_.run(std::move(make));
}

}  // namespace nearhop::admin
