#pragma once

#include "proxy/account/fault.h"
#include "proxy/exchange/reader_pace.h"
#include "proxy/loop/socket.h"
#include "proxy/message/request.h"
#include "proxy/wire/deviation.h"
#include "proxy/wire/framing.h"
#include "proxy/wire/head.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace nearhop::exchange {

using account::Fault;

/// How a response's body is announced to the client.
struct ResponseStart {
    unsigned status = 200;
    std::string_view reason;
    std::span<const wire::Field> fields;  ///< of the origin; hop-by-hop fields are left out by the codec
    std::string_view extra;               ///< our own fields, ready lines with CRLF
    wire::Framing framing;                ///< of the origin's body
    bool bodyless = false;                ///< HEAD, 204, 304: Content-Length may announce, nothing follows
    bool close = false;                   ///< the client's connection cannot be used again
};

/// The client's side of one exchange. HTTP/1.1 implements it; an exchange does not know which codec it talks to.
/// Nothing here waits: the exchange's wake is notified when the client's side changes.
class Codec {
public:
    /// Request body bytes that are at hand, decoded. `complete`: nothing follows them.
    struct Body {
        std::string_view bytes;
        bool complete = false;
        Fault fault = Fault::none;
    };
    virtual Body body() = 0;
    virtual void consume_body(std::size_t bytes) = 0;
    virtual std::string_view request_trailers() const = 0;  ///< lines with CRLF; after the body is complete

    virtual void interim(unsigned status, std::span<const wire::Field> fields) = 0;  ///< 1xx; dropped for HTTP/1.0
    virtual void start(const ResponseStart& start) = 0;
    /// Takes as much of the response body as fits under the high-water mark; returns how much.
    virtual std::size_t write(std::string_view body) = 0;
    virtual void finish(std::string_view trailers) = 0;  ///< the response is complete
    virtual void abort() = 0;                            ///< the response is cut off so that the client sees it
    /// Drops the response as far as it was given here. False when some of it has left, or is about to.
    virtual bool take_back() noexcept = 0;
    /// The origin switched to `protocol`: tells the client (101, or 200 for an extended CONNECT). From now on body()
    /// and write() carry raw bytes both ways; `complete` is the client's orderly end of its direction, client_gone any
    /// other end; finish() ends ours.
    virtual void start_tunnel(const ResponseStart& start, std::string_view protocol) = 0;
    virtual void quiet() noexcept {}  ///< nothing has moved for a while: memory may be given back
    virtual loop::Io flush() = 0;
    virtual std::size_t unsent() const = 0;
    /// Nothing is left that a cut would take back.
    virtual bool is_delivered() const noexcept = 0;
    virtual bool gone() = 0;  ///< the client has left
    /// Why it is gone: client_gone, or what it did that ended its connection.
    virtual Fault why_gone() const noexcept { return Fault::client_gone; }
    /// How it takes the response, from start() to its last byte.
    ReaderPace& reader() noexcept { return reader_; }
    virtual ReaderPace::Taken taken() const noexcept = 0;
    /// Where the request so far differed from HTTP; its session counts them.
    virtual wire::Deviations deviations() const { return {}; }

protected:
    ~Codec() = default;
    ReaderPace reader_;
};

}  // namespace nearhop::exchange
