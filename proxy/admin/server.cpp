#include "proxy/admin/server.h"

#include "proxy/loop/keeper.h"
#include "proxy/run/failures.h"
#include "proxy/wire/framing.h"
#include "proxy/wire/stream.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <string_view>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace nearhop::admin {
namespace {

using loop::Io;

std::string text_of(const sockaddr_storage& address) {
    char text[INET6_ADDRSTRLEN] = {};
    if (address.ss_family == AF_INET6) {
        const auto& six = reinterpret_cast<const sockaddr_in6&>(address);
        inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text);
        return std::string{"["} + text + "]:" + std::to_string(ntohs(six.sin6_port));
    }
    const auto& four = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
    return std::string{text} + ":" + std::to_string(ntohs(four.sin_port));
}

socklen_t fill_address(const conf::ListenAddress& from, sockaddr_storage& address) {
    auto& six = reinterpret_cast<sockaddr_in6&>(address);
    if (inet_pton(AF_INET6, from.address.c_str(), &six.sin6_addr) == 1) {
        six.sin6_family = AF_INET6;
        six.sin6_port = htons(from.port);
        return sizeof six;
    }
    auto& four = reinterpret_cast<sockaddr_in&>(address);
    if (inet_pton(AF_INET, from.address.c_str(), &four.sin_addr) != 1) return 0;
    four.sin_family = AF_INET;
    four.sin_port = htons(from.port);
    return sizeof four;
}

std::string_view phrase(unsigned status) noexcept {
    switch (status) {
        case 200: return "OK";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 409: return "Conflict";
        case 413: return "Content Too Large";
        case 422: return "Unprocessable Content";
        case 431: return "Request Header Fields Too Large";
        case 500: return "Internal Server Error";
        case 503: return "Service Unavailable";
        default: return "Error";
    }
}

/// The value of a field of which there may be one only; empty when it is absent or repeated.
std::string_view only_value(const wire::RequestHead& head, std::string_view name) noexcept {
    std::string_view value;
    bool found = false;
    for (const auto& field : head.fields) {
        if (!wire::equal_ignoring_case(field.name, name)) continue;
        if (std::exchange(found, true)) return {};
        value = field.value;
    }
    return value;
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

/// The listening socket: events wake the accepting coroutine, and so does the timer after a failed accept.
class AdminServer::Listener final : private loop::Watch {
public:
    Listener(loop::Loop& owner, int socket) : wake{owner}, retry{owner, wake}, descriptor{socket}, loop_{owner} {}
    ~Listener() {
        loop_.unwatch(descriptor, *this);
        ::close(descriptor);
    }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    bool watch() noexcept { return loop_.watch(descriptor, EPOLLIN, *this); }

    loop::Wake wake;
    loop::Timer retry;
    const int descriptor;
    loop::Task<void> task;

private:
    void on_events(std::uint32_t) noexcept override { wake.notify(); }
    loop::Loop& loop_;
};

struct AdminServer::Session {
    Session(loop::Loop& owner, int descriptor, const geo::Address& from, bool is_stranger)
        : wake{owner}, timer{owner, wake}, peer{from}, stranger{is_stranger} {
        stream.socket().open(owner, descriptor, wake, false);
    }

    loop::Wake wake;
    loop::Timer timer;
    wire::Stream stream;
    geo::Address peer;
    bool stranger;
    loop::Task<void> task;  // last: it ends before what it uses
};

AdminServer::AdminServer(loop::Loop& loop, run::Control& control, const Board& board, Registry& registry)
    : AdminServer(loop,
                  Process{[&control]() -> const run::Control::Status& { return control.status(); },
                          [&control] { return control.reload(); },
                          [&control](run::OverrideOrder order) { return control.override_origin(std::move(order)); },
                          run::noting(registry, Duty::admin)},
                  board, registry) {}

AdminServer::AdminServer(loop::Loop& loop, Process process, const Board& board, const Registry& registry)
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

AdminServer::~AdminServer() = default;

bool AdminServer::open(const conf::Admin& admin, std::string& error) {
    sockaddr_storage address{};
    const auto& wanted = **admin.listen;
    const socklen_t size = fill_address(wanted, address);
    const std::string text = size == 0 ? wanted.address : text_of(address);
    const int descriptor =
        size == 0 ? -1 : ::socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (descriptor < 0) {
        error = text + ": " + (size == 0 ? "no address" : std::strerror(errno));
        return false;
    }
    const int on = 1;
    ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    auto fresh = std::make_unique<Listener>(loop_, descriptor);
    if (::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), size) != 0 || ::listen(descriptor, 64) != 0 ||
        !fresh->watch()) {
        error = text + ": " + std::strerror(errno);
        return false;
    }
    listener_ = std::move(fresh);
    open_ = true;
    listener_->task =
        loop::keep(loop_, [this] { return accept(); }, [this](const std::exception& bug) { failed(bug); });
    listener_->task.start();
    return true;
}

std::string AdminServer::address() const {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (!open_ || ::getsockname(listener_->descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
    return text_of(address);
}

void AdminServer::close() {
    open_ = false;
    // The caller may be one of the sessions, run by the accepting coroutine: the reaper destroys both later.
    ended_.notify();
}

std::size_t AdminServer::sessions() const noexcept { return sessions_.size(); }

bool AdminServer::allows(const geo::Address& peer) const {
    const auto snapshot = board_.latest();
    return is_allowed(snapshot->routing->config.admin, peer);
}

loop::Task<void> AdminServer::accept() {
    Listener& listener = *listener_;
    for (;;) {
        sockaddr_storage address{};
        socklen_t size = sizeof address;
        const int descriptor =
            ::accept4(listener.descriptor, reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor >= 0) {
            try {
                admit(descriptor,
                      geo::Address::from(reinterpret_cast<const sockaddr*>(&address)).value_or(geo::Address{}));
            } catch (const std::exception& error) {
                failed(error);
            }
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED) continue;
        // Out of descriptors: who waits in the queue brings no new event, so look again in a while.
        if (errno != EAGAIN && errno != EWOULDBLOCK) listener.retry.expires_after(loop::milliseconds{100});
        co_await listener.wake.wait();
        listener.retry.clear();
    }
}

void AdminServer::admit(int descriptor, const geo::Address& peer) {
    const bool stranger = !allows(peer);
    const auto strangers = std::count_if(sessions_.begin(), sessions_.end(), [](const auto& s) { return s->stranger; });
    if (sessions_.size() >= most_sessions || (stranger && static_cast<std::size_t>(strangers) >= most_strangers)) {
        ::close(descriptor);
        return;
    }
    std::unique_ptr<Session> session;
    try {
        session = std::make_unique<Session>(loop_, descriptor, peer, stranger);  // closes it, whatever comes
    } catch (...) {
        ::close(descriptor);
        throw;
    }
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
        if (!open_) listener_.reset();
        std::erase_if(sessions_, [this](const auto& session) { return !open_ || session->task.done(); });
    }
}

/// The root of a session's coroutines: whatever happens below ends this session only.
loop::Task<void> AdminServer::run(Session& session) {
    // From the first wait on the session belongs to the list; whatever happens, its end is told.
    struct AtEnd {
        AdminServer& server;
        Session& session;
        ~AtEnd() {
            session.stream.socket().close();
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
    wire::RequestHead head;
    for (bool keep = true; keep && open_;) {
        session.stream.release_buffers();
        session.timer.expires_after(patience);
        wire::HeadScan scan;
        if (!co_await read_head(session, scan)) co_return;

        const auto bytes = session.stream.in().view().substr(0, scan.size());
        std::optional<wire::Framing> framing;
        if (wire::parse_request(bytes, 100, head) == wire::HeadError::none) framing = wire::request_framing(head);
        if (!framing) {
            co_await refuse(session, 400, "the request is malformed\n");
            co_return;
        }
        if (framing->kind == wire::Framing::Kind::chunked || framing->length > body_bytes) {
            co_await refuse(session, 413, "the body is chunked or above 16 KiB\n");
            co_return;
        }
        keep = wire::keeps_alive(head.minor, head.fields);
        // The head's bytes go before the body comes, so what the answer needs of it is copied.
        const std::string method{head.method}, target{head.target}, authorization{only_value(head, "authorization")};
        session.stream.in().consume(scan.size());  // ends the life of `head`
        std::string body;
        if (!co_await read_body(session, framing->length, body)) co_return;
        const std::string_view asked = target;
        const std::size_t question_mark = asked.find('?');
        const Ask ask{method, asked.substr(0, question_mark),
                      question_mark == asked.npos ? std::string_view{} : asked.substr(question_mark + 1), authorization,
                      body};
        const auto snapshot = board_.latest();
        const bool allowed = is_allowed(snapshot->routing->config.admin, session.peer);
        const Page page = co_await page_for(ask, snapshot, allowed);
        keep = keep && allowed && open_;
        const bool with_body = method != "HEAD";
        const Holds holds{held_, is_large(ask) && with_body ? page.body.size() : 0};
        if (!co_await send(session, page, with_body, keep)) co_return;
    }
    co_await linger(session);
}

loop::Task<Page> AdminServer::page_for(const Ask& ask, std::shared_ptr<const Snapshot> snapshot, bool allowed) {
    if (allowed && is_large(ask)) co_return co_await large_page_for(std::string{ask.path}, std::move(snapshot));
    co_return co_await answer(ask, allowed, *snapshot, registry_, process_);
}

/// Where a configuration is large, such a page takes long to make: the loop has probes to do meanwhile.
loop::Task<Page> AdminServer::large_page_for(std::string path, std::shared_ptr<const Snapshot> snapshot) {
    const auto turn = co_await page_turn_.take();
    if (held_ >= most_held)
        co_return Page{.status = 503, .body = "other readers still hold large pages\n", .fields = "Retry-After: 5\r\n"};
    auto make = [path = std::move(path), snapshot = std::move(snapshot), &registry = registry_,
                 status = process_.status()] { return large_page(path, *snapshot, registry, status); };
    co_return co_await pages_.run(std::move(make));
}

/// False when the session is over: the client left, was too slow or has been refused.
loop::Task<bool> AdminServer::read_head(Session& session, wire::HeadScan& scan) {
    for (;;) {
        switch (scan.scan(session.stream.in().view())) {
            case wire::HeadScan::State::complete: co_return true;
            case wire::HeadScan::State::malformed:
                co_return co_await refuse(session, 400, "the request is malformed\n");
            case wire::HeadScan::State::more: break;
        }
        if (session.stream.in().size() >= head_bytes)
            co_return co_await refuse(session, 431, "the request head is above 16 KiB\n");
        const Io got = session.stream.fill(head_bytes);
        if (got == Io::closed || got == Io::failed) co_return false;
        if (got == Io::ok) continue;
        if (session.timer.expired()) co_return false;
        co_await session.wake.wait();
    }
}

loop::Task<bool> AdminServer::read_body(Session& session, std::uint64_t bytes, std::string& body) {
    while (bytes > 0) {
        auto& in = session.stream.in();
        const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, in.size()));
        body.append(in.view().substr(0, part));
        in.consume(part);
        bytes -= part;
        if (bytes == 0) break;
        const Io got = session.stream.fill(head_bytes);
        if (got == Io::closed || got == Io::failed) co_return false;
        if (got == Io::ok) continue;
        if (session.timer.expired()) co_return false;
        co_await session.wake.wait();
    }
    co_return true;
}

/// False when the client does not take it.
loop::Task<bool> AdminServer::send(Session& session, const Page& page, bool body, bool keep) {
    std::string bytes = "HTTP/1.1 " + std::to_string(page.status) + " ";
    bytes.append(phrase(page.status)).append("\r\nContent-Type: ").append(page.type);
    bytes.append("\r\nContent-Length: ").append(std::to_string(page.body.size()));
    bytes.append("\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n").append(page.fields);
    if (!keep) bytes.append("Connection: close\r\n");
    bytes.append("\r\n");
    if (body) bytes.append(page.body);

    session.timer.expires_after(patience);
    std::string_view rest = bytes;
    for (;;) {
        rest.remove_prefix(session.stream.write_some(rest));
        const Io sent = session.stream.flush();
        if (sent == Io::failed || session.stream.socket().broken()) co_return false;
        if (rest.empty() && sent == Io::ok) co_return true;
        if (session.timer.expired()) co_return false;
        co_await session.wake.wait();
    }
}

loop::Task<bool> AdminServer::refuse(Session& session, unsigned status, std::string_view why) {
    const Page page{.status = status, .body = std::string{why}};
    if (co_await send(session, page, true, false)) co_await linger(session);
    co_return false;
}

/// Closing while bytes come in would reset the connection, and the client might never see the answer.
loop::Task<void> AdminServer::linger(Session& session) {
    session.stream.socket().shutdown_write();
    session.timer.expires_after(loop::milliseconds{1000});
    for (std::size_t most = 256 * 1024; most > 0;) {
        session.stream.in().clear();
        const Io got = session.stream.fill(head_bytes);
        if (got == Io::closed || got == Io::failed) co_return;
        if (got == Io::ok) {
            most -= std::min(most, session.stream.in().size());
            continue;
        }
        if (session.timer.expired()) co_return;
        co_await session.wake.wait();
    }
}

}  // namespace nearhop::admin
