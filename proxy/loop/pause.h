#pragma once

// Brings Asio's headers along: for .cpp files that speak Asio, never for a public header.
#include "proxy/loop/operations.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace nearhop::loop {

/// A Task's sleep on an Asio timer, for what happens rarely: `co_await pause->wait(wait)`.
class Pause final : public Operations {
public:
    explicit Pause(Loop& loop) : Operations{loop}, timer_{loop.context()} {}

    Task<Ended> wait(milliseconds wait) {
        timer_.expires_after(wait);
        return timer_.async_wait(token());
    }
    void cancel() noexcept override { timer_.cancel(); }

private:
    boost::asio::steady_timer timer_;
};

}  // namespace nearhop::loop
