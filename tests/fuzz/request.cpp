#include "proxy/client/http1_codec.h"
#include "proxy/message/headers.h"
#include "tests/fuzz/support.h"

#include <algorithm>
#include <string>

using namespace nearhop;
using fuzz::require;

namespace {

conf::Limits small_limits() {
    conf::Limits limits;
    limits.head_bytes = 1024;
    limits.target_bytes = 256;
    limits.head_fields = 20;
    limits.chunk_line_bytes = 64;
    limits.trailer_bytes = 128;
    return limits;
}

/// Trailers that go on are lines of names and values that could stand in any head.
void check_trailers(std::string_view trailers) {
    std::string out;
    if (!message::filter_trailers(trailers, {}, {}, out)) return;
    require(out.size() <= trailers.size());
    wire::RequestHead head;
    const std::string dressed = "GET / HTTP/1.1\r\n" + out + "\r\n";
    wire::HeadScan scan;
    require(scan.scan(dressed) == wire::HeadScan::State::complete && scan.size() == dressed.size());
    require(wire::parse_request(dressed, 1000, head) == wire::HeadError::none);
    for (const auto& field : head.fields) require(!message::is_hop_by_hop(field.id));
}

/// A connection's bytes, given to the codec in pieces; the log holds what an exchange would have seen of it.
class Connection {
public:
    Connection(std::string_view all, std::size_t piece) : rest_{all}, piece_{piece} { run(); }
    std::string log;

private:
    bool more() {
        if (rest_.empty()) return false;
        const auto count = std::min(piece_, rest_.size());
        stream_.in().append(rest_.substr(0, count));
        rest_.remove_prefix(count);
        return true;
    }
    void run() {
        static const conf::Limits limits = small_limits();
        do {
            codec_.begin_request(limits);
            auto read = codec_.read_head();
            while (read == Read::pending && more()) read = codec_.read_head();
            require(read != Read::closed);  // the socket is none: it only ever blocks
            if (read != Read::ready) {
                log += read == Read::refused ? "refused" : "pending";
                return;
            }
            note(codec_.request());
            if (!body()) return;
        } while (codec_.keeps_alive());
    }
    void note(const message::Request& request) {
        require(!request.target.empty() && (request.target == "*" || request.target.front() == '/'));
        require(request.protocol == message::Protocol::http10 || !request.authority.empty() || request.host.empty());
        require(request.authority.find_first_of(" \t@/?#\"\\") == std::string_view::npos);
        log.append(request.method).append(" ").append(request.target).append(" ").append(request.authority);
        for (const auto& field : request.fields) log.append("\n").append(field.name).append(":").append(field.value);
        log += "\n" + std::to_string(static_cast<int>(request.framing.kind)) + " ";
    }
    /// False when nothing more can follow on this connection.
    bool body() {
        std::uint64_t total = 0;
        for (;;) {
            const auto body = codec_.body();
            total += body.bytes.size();
            if (body.fault != account::Fault::none) {
                log += " bad body";
                return false;
            }
            if (body.complete) break;
            log += body.bytes;
            if (!body.bytes.empty())
                codec_.consume_body(body.bytes.size());
            else if (!more())
                return false;
        }
        const auto& framing = codec_.request().framing;
        require(framing.kind == wire::Framing::Kind::chunked || total == framing.length);
        require(codec_.body_complete());
        log.append("|").append(codec_.request_trailers()).append("|\n");
        check_trailers(codec_.request_trailers());
        return true;
    }

    using Read = client::Http1Codec::Read;
    std::string_view rest_;
    std::size_t piece_;
    wire::Stream stream_;
    client::Http1Codec codec_{stream_, true};
};

}  // namespace

/// Requests on one connection, heads, framing and bodies: the same requests, the same bytes of each body and the same
/// end, however the connection's bytes were cut (Beast #1467).
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto all = fuzz::text_of(data, size);
    const Connection whole{all, std::max<std::size_t>(size, 1)};
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, size / 2 + 1})
        require(Connection(all, piece).log == whole.log);
    return 0;
}
