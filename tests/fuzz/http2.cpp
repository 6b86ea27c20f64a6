#include "proxy/client/http2_session.h"
#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"
#include "tests/fuzz/forwarded_check.h"

#include <algorithm>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

using namespace nearhop;
using account::Fault;
using client::Http2Stream;
using fuzz::require;
using loop::Task;

namespace {

constexpr std::string_view preface{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33};  // with empty SETTINGS

/// Answers each request by itself, and holds it to what an HTTP/1.1 request is held to.
class Host final : public client::Http2Host {
public:
    explicit Host(unsigned choice) : choice_{choice} {}
    Task<void> serve(Http2Stream& stream) override {
        if (stream.fault() != Fault::none) co_return answer(stream, 400, {});
        const auto& request = stream.request();
        require(request.protocol == message::Protocol::http2 && !request.method.empty() && !request.authority.empty());
        require(request.target == "*" || request.target.front() == '/');
        fuzz::check_forwarded(request, choice_);
        if (request.extended_connect) co_return answer(stream, 501, {});
        std::uint64_t total = 0;
        for (;;) {
            const auto body = stream.body();
            if (body.fault != Fault::none) co_return stream.abort();
            if (body.complete) break;
            if (body.bytes.empty()) {
                if (stream.gone()) co_return;
                co_await stream.wake().wait();
                continue;
            }
            total += body.bytes.size();
            stream.consume_body(body.bytes.size());
        }
        using Kind = wire::Framing::Kind;
        require(request.framing.kind == Kind::chunked || total == request.framing.length);
        std::string trailers;
        if (!message::filter_trailers(stream.request_trailers(), {}, {}, trailers)) co_return stream.abort();
        answer(stream, 200, trailers);
        while (stream.unsent() > 0 && !stream.gone()) co_await stream.wake().wait();
    }
    void failed(const std::exception&) noexcept override { require(false); }
    void wants_send() noexcept override { send = true; }
    const conf::Limits& limits() const noexcept override { return limits_; }
    bool send = false;

private:
    static void answer(Http2Stream& stream, unsigned status, std::string_view trailers) {
        exchange::ResponseStart start;
        start.status = status;
        start.framing.kind = wire::Framing::Kind::until_close;
        start.bodyless = stream.request().method == "HEAD";
        stream.start(start);
        if (!start.bodyless) stream.write("a body of a few bytes");
        stream.finish(trailers);
        stream.flush();
    }
    conf::Limits limits_;
    unsigned choice_;
};

/// What the client got: whole frames of the kinds that a server sends.
class Frames {
public:
    void add(std::string_view bytes) {
        bytes_ += bytes;
        while (bytes_.size() >= 9) {
            const auto byte = [&](std::size_t at) {
                return static_cast<std::size_t>(static_cast<unsigned char>(bytes_[at]));
            };
            const std::size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
            const std::size_t type = byte(3);
            require(size <= 16384 && type <= 9 && type != 5);  // nobody gets a PUSH_PROMISE
            require(!first_ || type == 4);                     // RFC 9113 section 3.4: SETTINGS come first
            require((byte(5) & 0x80) == 0);
            first_ = false;
            if (bytes_.size() < 9 + size) return;
            bytes_.erase(0, 9 + size);
        }
    }

private:
    std::string bytes_;
    bool first_ = true;
};

struct Connection {
    loop::Loop loop;
    loop::Wake wake{loop};
    loop::Timer timer{loop, wake};
    account::WorkerCounters counters;
    conf::Http2 limits;
    client::Http2Streams pool{loop};
    wire::Stream stream;
    Frames frames;
    int client = -1;

    Connection() {
        int pair[2];
        require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
        client = pair[1];
        stream.socket().open(loop, pair[0], wake, false);
    }
    ~Connection() { ::close(client); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void receive() {
        char bytes[4096];
        for (;;) {
            const ssize_t got = ::recv(client, bytes, sizeof bytes, 0);
            if (got <= 0) return;
            frames.add({bytes, static_cast<std::size_t>(got)});
        }
    }
};

Task<> drive(Connection& connection, Host& host, std::string_view input, std::size_t piece) {
    client::Http2Session session{host,
                                 connection.pool,
                                 connection.stream,
                                 connection.wake,
                                 connection.timer,
                                 connection.limits,
                                 connection.counters};
    connection.loop.after_batch([&] {
        if (std::exchange(host.send, false)) session.send();
    });
    for (bool more = true; more && !session.over();) {
        more = !input.empty();
        const auto next = input.substr(0, piece);
        input.remove_prefix(next.size());
        if (more) (void)!::send(connection.client, next.data(), next.size(), MSG_NOSIGNAL);
        // The batch that sees the bytes, the exchanges' own, and the one that sends what they wrote.
        for (int batch = 0; batch < 3 && !session.over(); ++batch) {
            co_await connection.wake.yield();
            session.turn();
            connection.receive();
        }
    }
    session.close_streams();
    while (session.running() != 0) co_await connection.wake.wait();
    connection.loop.after_batch({});
    connection.loop.stop();
}

}  // namespace

/// A whole HTTP/2 connection, in pieces of the first byte's size: every request that is served can be written for an
/// origin in one unambiguous form, its body is as long as it said, and the client gets nothing but frames. Bit 7 of the
/// second byte: the client's preface is the input's, too.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    Connection connection;
    Host host{data[1]};
    std::string input{(data[1] & 0x80) == 0 ? preface : std::string_view{}};
    input += fuzz::text_of(data + 2, std::min(size - 2, std::size_t{16384}));
    const auto task = drive(connection, host, input, data[0] == 0 ? input.size() + 1 : data[0]);
    task.start();
    connection.loop.run();
    return 0;
}
