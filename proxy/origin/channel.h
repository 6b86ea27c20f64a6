#pragma once

#include "proxy/loop/socket.h"
#include "proxy/message/headers.h"
#include "proxy/message/source.h"
#include "proxy/wire/deviation.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nearhop::origin {

/// One request and its answer on their way to and from an origin, whatever the protocol, also where others use the same
/// connection. Nothing here waits: each call does what can be done now, and the exchange's wake is notified when that
/// changes. In this order: send_head(), then send_body() and end_body() beside receive_head() and body(), finish().
///
/// The fault says what was provably not sent: if info(fault).nothing_sent is true, the origin has not processed the
/// request.
class Channel : public message::Source {
public:
    using Delivery = loop::Socket::Delivery;

    virtual void send_head(const message::RequestStart& start) = 0;
    /// Takes as much of the body as fits; returns how much. What broke takes nothing.
    virtual std::size_t send_body(std::string_view bytes) = 0;
    /// The request is whole, with ready trailer lines. Of a tunnel: our direction ends once all of it is sent.
    virtual void end_body(std::string_view trailers) = 0;
    /// Sends what was taken. failed: the origin takes nothing more; an answer may still be there to read.
    virtual loop::Io flush() = 0;
    virtual bool is_full() const noexcept = 0;        ///< takes no more before a flush()
    virtual bool is_sent() const noexcept = 0;        ///< nothing that was taken waits to be sent
    virtual std::uint64_t sent() const noexcept = 0;  ///< bytes on the wire, a running total
    /// When the last request byte was handed over; before that, the head's last. Zero: not yet. The sender sets it.
    loop::TimePoint sent_at{};

    enum class Progress : std::uint8_t { pending, interim, head, failed };
    /// Reads towards the head. interim: head() is a 1xx, call again; failed: fault() says why.
    virtual Progress receive_head() = 0;
    bool answered_anything() const noexcept { return received_any_; }
    /// Where the answer so far differed from HTTP; counted already.
    wire::Deviations deviations() const noexcept { return deviations_; }

    /// After a 101: from now on bodies are raw bytes, both ways. A body that is complete is the origin's orderly end.
    virtual void begin_tunnel() noexcept = 0;
    /// All that was taken has reached the origin's system.
    virtual bool is_delivered() const noexcept = 0;
    virtual void quiet() noexcept = 0;  ///< nothing has moved for a while: memory may be given back

    /// The origin's address, for its path and its failures.
    virtual const std::string& address() const noexcept = 0;
    /// What became of the request's bytes; a system call.
    virtual Delivery delivery() const noexcept = 0;
    /// From now on delivery() also tells whether the origin's system is still there.
    virtual void ask_path() noexcept = 0;

    /// The answer has been read, or nobody wants more of it: what is fit for another request is kept for it, unless
    /// `clean` is false, since something came that makes the next answer doubtful.
    virtual void finish(bool clean) = 0;
    /// Before its end, so that the origin sees it.
    virtual void cancel() noexcept = 0;
    /// Forgets everything, whatever state it is in; memory stays for the next use.
    virtual void reset() noexcept = 0;

protected:
    ~Channel() = default;
    wire::Deviations deviations_;
    bool received_any_ = false;
};

}  // namespace nearhop::origin
