#pragma once

#include "proxy/exchange/codec.h"
#include "proxy/exchange/context.h"
#include "proxy/exchange/headers.h"
#include "proxy/origin/connection.h"
#include "proxy/origin/dial.h"
#include "proxy/wire/chunked.h"
#include "proxy/wire/deviation.h"
#include "proxy/wire/message_writer.h"

#include <list>
#include <memory>
#include <string>
#include <utility>

namespace nearhop::exchange {

/// Request body bytes that were sent once and may have to be sent again. Bounded per request and per worker.
class Replay {
public:
    explicit Replay(Context& context) noexcept : context_{context} {}
    ~Replay() { forget(); }
    Replay(const Replay&) = delete;
    Replay& operator=(const Replay&) = delete;

    /// `whole` when nothing of the body can be lost later on: no body, or one that fits.
    void begin(const wire::Framing& framing, std::uint64_t limit, std::uint64_t total_limit) noexcept;
    void remember(std::string_view bytes);
    bool whole() const noexcept { return whole_; }  ///< everything read from the client so far can be sent again
    std::string_view bytes() const noexcept { return bytes_; }

private:
    void forget() noexcept;
    Context& context_;
    std::string bytes_;
    std::uint64_t limit_ = 0;
    std::uint64_t total_limit_ = 0;
    bool whole_ = true;
};

/// One try of an exchange at one origin: sends the request, reads the response head, decodes the response body. It
/// does what can be done now and says whether to wait.
class Attempt {
public:
    explicit Attempt(Context& context) noexcept : context_{context} {}

    steering::Considered candidate;
    OriginLoad::Slot slot;               ///< where the origin has a capacity
    admin::Counted counted;              ///< among what its origin has in flight, capacity or not
    std::unique_ptr<origin::Dial> dial;  ///< until there is a connection
    std::unique_ptr<origin::Connection> connection;
    loop::TimePoint began_at{};  ///< when it asked for a connection
    bool begun = false;          ///< the request's head is on its way
    bool trial = false;          ///< it tries out an origin on trial
    loop::TimePoint sent_at{};   ///< when the last request byte was handed to the socket; before that, the head's last

    /// `upgrade`: the protocol that the request asks for, empty: none. A 101 is an answer to that and nothing else.
    void begin(std::unique_ptr<origin::Connection> leased, std::string_view request_method, const conf::Limits& limits,
               std::string_view upgrade = {});
    /// Gives the slot back, closes the connection and forgets the response; capacities stay for the next use.
    void reset() noexcept;

    wire::Buffer& staging() noexcept {
        return writer_.staging();
    }  ///< the request head goes here before the first pump()

    /// Sends what can be sent of head and body. Client faults are returned; a broken origin shows when it is read.
    /// `trailers`: what may follow the body. `body_read` counts the client's body bytes over all attempts, for the
    /// limit (0: none).
    Fault pump(Codec& client, const Request& request, const TrailerRules& trailers, Replay& replay,
               std::uint64_t body_limit, std::uint64_t& body_read);
    bool request_complete() const noexcept { return request_complete_; }
    /// The rest of the request will never come: its connection serves nobody else.
    void stop_sending() noexcept {
        write_broken_ = true;
        starved_ = false;
    }
    bool waits_for_client() const noexcept { return starved_ && connection->stream.unsent() == 0; }

    enum class Progress : std::uint8_t { pending, interim, head, failed };
    /// Reads towards the response head. `interim`: head() is a 1xx; call again. `failed`: fault() says why.
    Progress receive_head();
    const wire::ResponseHead& head() const noexcept { return head_; }
    /// Takes fields of this name out of the head: they were for us.
    void drop_field(std::string_view name);
    /// Gives fields the value that `mend(field)` returns for them, unless it is empty.
    template <class Mend>
    void mend_fields(Mend mend) {
        for (auto& field : head_.fields)
            if (std::string value = mend(field); !value.empty()) field.value = mended_.emplace_back(std::move(value));
    }
    const wire::Framing& framing() const noexcept { return framing_; }
    Fault fault() const noexcept { return fault_; }
    /// Where the answer so far differed from HTTP; counted already.
    wire::Deviations deviations() const noexcept { return deviations_; }
    bool answered_anything() const noexcept { return received_any_; }

    /// Response body bytes at hand. pending: wait; data: `bytes` (then consume_body); complete; failed: fault().
    enum class Body : std::uint8_t { pending, data, complete, failed };
    Body body(std::string_view& bytes);
    void consume_body(std::size_t bytes) noexcept;
    /// All of a body whose length was announced has been consumed.
    bool body_read() const noexcept { return framing_.kind == wire::Framing::Kind::length && left_ == 0; }
    std::string_view trailers() const noexcept { return decoder_.trailers(); }

    /// Notes bytes that came behind a whole answer. Then, or with an answer that was not whole: not reusable.
    void look_behind() noexcept;
    /// Whether the connection is fit for another request: complete both ways, nothing left over, keep-alive agreed.
    bool reusable() const noexcept;

private:
    void forget() noexcept;
    Fault queue_body(Codec& client, const Request& request, const TrailerRules& trailers, Replay& replay,
                     std::uint64_t body_limit, std::uint64_t& body_read);
    Progress fail(Fault fault) noexcept {
        fault_ = fault;
        return Progress::failed;
    }
    Progress bad_response(wire::Deviation why) noexcept {
        note(why);
        return fail(Fault::origin_bad_response);
    }
    void note(wire::Deviation found) noexcept;
    bool is_young() const noexcept;
    Progress judge_head();

    Context& context_;
    wire::MessageWriter writer_;
    std::string_view method_;
    std::string_view upgrade_;
    const conf::Limits* limits_ = nullptr;
    std::size_t replayed_ = 0;
    bool request_complete_ = false;
    bool starved_ = false;  ///< the client's body has nothing for us now
    bool write_broken_ = false;

    wire::HeadScan scan_;
    wire::Buffer head_bytes_;
    wire::ResponseHead head_;
    std::list<std::string> mended_;  ///< what views in head_ refer to, beside head_bytes_
    wire::Framing framing_;
    wire::ChunkedDecoder decoder_;
    std::uint64_t left_ = 0;
    std::string_view chunk_;      ///< decoded data in the input buffer, not consumed yet
    std::size_t chunk_used_ = 0;  ///< input bytes up to the end of chunk_
    unsigned interims_ = 0;
    bool received_any_ = false;
    bool body_complete_ = false;
    bool keep_alive_ = false;
    Fault fault_ = Fault::none;
    wire::Deviations deviations_;
};

}  // namespace nearhop::exchange
