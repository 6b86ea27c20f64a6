#pragma once

#include "proxy/exchange/context.h"
#include "proxy/exchange/upload.h"
#include "proxy/origin/connection.h"
#include "proxy/origin/dial.h"
#include "proxy/origin/http1_channel.h"

#include <memory>
#include <utility>

namespace nearhop::exchange {

/// One try of an exchange at one origin: who is asked, since when and at whose expense; and, once it is connected, the
/// channel that carries the request and its answer.
class Attempt {
public:
    explicit Attempt(Context& context) noexcept : http1_{context.loop, context.counters} {}

    steering::Considered candidate;
    shared::OriginLoad::Slot slot;       ///< where the origin has a capacity
    account::Counted counted;            ///< among what its origin has in flight, capacity or not
    std::unique_ptr<origin::Dial> dial;  ///< until there is a connection
    origin::Channel* channel = nullptr;  ///< null: not connected yet
    Upload upload;                       ///< the request's body
    loop::TimePoint began_at{};          ///< when it asked for a connection
    bool begun = false;                  ///< the request's head is on its way
    bool trial = false;                  ///< it tries out an origin on trial

    /// Connected: the request goes here.
    void open(std::unique_ptr<origin::Connection> connection, const conf::Limits& limits) {
        http1_.open(std::move(connection), limits);
        channel = &http1_;
        upload = {};
        begun = false;
    }
    /// Gives the slot back, closes the connection and forgets the response; capacities stay for the next use.
    void reset() noexcept {
        dial.reset();
        channel = nullptr;
        http1_.reset();
        upload = {};
        begun = trial = false;
        slot.release();
        counted.release();
    }

    bool waits_for_client() const noexcept { return channel && upload.waits_for_client(*channel); }
    const wire::ResponseHead& head() const noexcept { return channel->head(); }
    loop::TimePoint sent_at() const noexcept { return channel ? channel->sent_at : loop::TimePoint{}; }
    wire::Deviations deviations() const noexcept { return channel ? channel->deviations() : wire::Deviations{}; }

private:
    origin::Http1Channel http1_;
};

}  // namespace nearhop::exchange
