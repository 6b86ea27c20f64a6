#include "proxy/run/demo_origin.h"

#include "proxy/client/listener.h"
#include "proxy/loop/task.h"
#include "proxy/wire/framing.h"
#include "proxy/wire/head.h"
#include "proxy/wire/stream.h"

#include <algorithm>
#include <list>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace nearhop::run {

using loop::Io;

class DemoOrigins::Origin final : public loop::Watch {
public:
    Origin(loop::Loop& owner, std::string name) : loop_{owner}, name_{std::move(name)} {
        conf::ListenAddress address{"127.0.0.1", 0};
        std::string error;
        descriptor_ = client::open_listener(address, error);
        if (descriptor_ < 0) throw std::runtime_error{"demo origin: " + error};
        port_ = address.port;
        loop_.watch(descriptor_, EPOLLIN, *this);
    }
    ~Origin() {
        loop_.unwatch(descriptor_, *this);
        ::close(descriptor_);
    }
    Origin(const Origin&) = delete;
    Origin& operator=(const Origin&) = delete;

    std::uint16_t port() const noexcept { return port_; }
    void sweep() {
        std::erase_if(connections_, [](const Connection& connection) { return connection.task.done(); });
    }
    void cut() { connections_.clear(); }

private:
    struct Connection {
        explicit Connection(loop::Loop& owner, int descriptor) : wake{owner} {
            stream.socket().open(owner, descriptor, wake, false);
        }
        loop::Wake wake;
        wire::Stream stream;
        loop::Task<void> task;
    };

    void on_events(std::uint32_t) noexcept override {
        for (;;) {
            const int descriptor = ::accept4(descriptor_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (descriptor < 0) return;
            auto& connection = connections_.emplace_back(loop_, descriptor);
            connection.task = serve(connection);
            connection.task.start();
        }
    }

    loop::Task<void> serve(Connection& connection) {
        auto& stream = connection.stream;
        wire::HeadScan scan;
        std::uint64_t unread = 0;  // of the last request's body
        for (;;) {
            const auto skipped = std::min<std::uint64_t>(unread, stream.in().size());
            stream.in().consume(static_cast<std::size_t>(skipped));
            unread -= skipped;
            if (unread == 0 && !stream.in().empty()) {
                const auto state = scan.scan(stream.in().view());
                if (state == wire::HeadScan::State::malformed) break;
                if (state == wire::HeadScan::State::complete) {
                    wire::RequestHead head;
                    const auto bytes = stream.in().view().substr(0, scan.size());
                    if (wire::parse_request(bytes, 100, head) != wire::HeadError::none) break;
                    const auto framing = wire::request_framing(head);
                    if (!framing || framing->kind == wire::Framing::Kind::chunked) break;
                    unread = framing->length;
                    if (!answer(stream, head)) break;
                    stream.in().consume(scan.size());
                    scan.reset();
                    continue;
                }
            }
            if (stream.flush() == Io::failed) break;
            const Io got = stream.fill(64 * 1024);
            if (got == Io::closed || got == Io::failed) break;
            if (got == Io::blocked) co_await connection.wake.wait();
        }
        stream.socket().close();
    }

    bool answer(wire::Stream& stream, const wire::RequestHead& head) {
        std::string body = "{\"region\": \"" + name_ + "\", \"path\": \"" + std::string{head.target} + "\"}\n";
        if (head.method == "POST" && head.target == "/demo/break") {
            broken_ = true;
            body = name_ + " is broken now; POST /demo/repair fixes it\n";
        } else if (head.method == "POST" && head.target == "/demo/repair") {
            broken_ = false;
            body = name_ + " works again\n";
        } else if (broken_) {
            return false;
        }
        stream.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
                     std::to_string(body.size()) + "\r\n\r\n" + (head.method == "HEAD" ? std::string{} : body));
        return stream.flush() != Io::failed;
    }

    loop::Loop& loop_;
    std::string name_;
    int descriptor_ = -1;
    std::uint16_t port_ = 0;
    bool broken_ = false;
    std::list<Connection> connections_;
};

DemoOrigins::DemoOrigins(const std::vector<std::string>& names) {
    for (const auto& name : names) origins_.push_back(std::make_unique<Origin>(loop_, name));
    loop_.after_batch([this] {
        for (const auto& origin : origins_) origin->sweep();
    });
    thread_ = std::thread{[this] {
        loop_.run();
        for (const auto& origin : origins_) origin->cut();
    }};
}

DemoOrigins::~DemoOrigins() {
    loop_.stop();
    thread_.join();
}

std::uint16_t DemoOrigins::port(std::size_t index) const { return origins_[index]->port(); }

}  // namespace nearhop::run
