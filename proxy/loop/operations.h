#pragma once

// Brings Asio's headers along: for .cpp files that speak Asio, never for a public header.
#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"

#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/error_code.hpp>

#include <cstddef>
#include <memory>
#include <utility>

namespace nearhop::loop {

/// What came of an Asio operation. `error` is timed_out where the deadline of its Operations ended it.
struct Ended {
    boost::system::error_code error;
    std::size_t bytes = 0;
};

/// Asio operations that a Task waits for. Derive from it what they use (socket, buffers, messages) and make it with
/// std::make_shared: each handler holds a share, so that the Task may be dropped in the middle; the code that drops it
/// calls cancel(). One deadline holds for all of them: to move it is a store.
///
///     const auto [error, bytes] = co_await socket.async_read_some(buffer, operations.token());
class Operations : public std::enable_shared_from_this<Operations> {
public:
    /// One operation at a time. Those who run two side by side (a read and a write) have two of these.
    class Slot {
    public:
        bool running() const noexcept { return running_; }

    private:
        friend class Operations;
        bool running_ = false;
        Ended ended_{};
    };
    /// Completion token: `co_await` what the call returns.
    struct Token {
        Operations& operations;
    };
    /// Completion token: the call returns nothing, and end_of() waits for the slot's operation.
    struct Start {
        Operations& operations;
        Slot& slot;
    };

    virtual ~Operations() = default;
    Operations(const Operations&) = delete;
    Operations& operator=(const Operations&) = delete;

    Token token() noexcept { return {*this}; }
    Start start(Slot& slot) noexcept { return {*this, slot}; }
    Task<Ended> end_of(Slot& slot) {
        while (slot.running_) {
            co_await wake_.wait();
            if (slot.running_ && timer_.expired()) on_time();
        }
        if (timed_out_ && slot.ended_.error) slot.ended_.error = boost::asio::error::timed_out;
        co_return slot.ended_;
    }

    void expires_at(TimePoint due) noexcept {
        timed_out_ = false;
        timer_.expires_at(due);
    }
    void expires_after(milliseconds wait) noexcept { expires_at(wake_.loop().now() + wait); }
    void never_expires() noexcept { timer_.clear(); }
    bool timed_out() const noexcept { return timed_out_; }

    /// Ends what is under way, soon: its handlers run once more.
    virtual void cancel() noexcept = 0;

    Wake& wake() noexcept { return wake_; }
    Loop& loop() const noexcept { return wake_.loop(); }

    /// Asio's part of the two tokens.
    template <class Initiation, class... Arguments>
    void begin(Slot& slot, Initiation&& initiation, Arguments&&... arguments) {
        slot.running_ = true;
        std::forward<Initiation>(initiation)(Handler{shared_from_this(), slot}, std::forward<Arguments>(arguments)...);
    }
    Task<Ended> end() { return end_of(only_); }
    Slot& only() noexcept { return only_; }

protected:
    explicit Operations(Loop& loop) : wake_{loop}, timer_{loop, wake_} {}
    /// The deadline has come while something is under way.
    virtual void on_time() noexcept { give_up(); }
    void give_up() noexcept {
        timed_out_ = true;
        timer_.clear();
        cancel();
    }

private:
    /// Moved along by Asio; where one goes without having been called (no memory for the next step), that is an end
    /// too.
    class Handler {
    public:
        Handler(std::shared_ptr<Operations> operations, Slot& slot) noexcept
            : operations_{std::move(operations)}, slot_{slot} {}
        Handler(Handler&&) noexcept = default;
        Handler& operator=(Handler&&) = delete;
        ~Handler() { end(make_error_code(boost::system::errc::not_enough_memory), 0); }
        void operator()(const boost::system::error_code& error, std::size_t bytes = 0) noexcept { end(error, bytes); }

    private:
        void end(const boost::system::error_code& error, std::size_t bytes) noexcept {
            const auto operations = std::exchange(operations_, nullptr);
            if (!operations) return;
            slot_.running_ = false;
            slot_.ended_ = {error, bytes};
            operations->wake_.notify();  // the Task resumes with the batch that follows, never from in here
        }
        std::shared_ptr<Operations> operations_;
        Slot& slot_;
    };

    Wake wake_;
    Timer timer_;
    bool timed_out_ = false;
    Slot only_;
};

}  // namespace nearhop::loop

template <class... Results>
class boost::asio::async_result<nearhop::loop::Operations::Token, void(Results...)> {
public:
    template <class Initiation, class... Arguments>
    static nearhop::loop::Task<nearhop::loop::Ended> initiate(Initiation&& initiation,
                                                              nearhop::loop::Operations::Token token,
                                                              Arguments&&... arguments) {
        token.operations.begin(token.operations.only(), std::forward<Initiation>(initiation),
                               std::forward<Arguments>(arguments)...);
        return token.operations.end();
    }
};

template <class... Results>
class boost::asio::async_result<nearhop::loop::Operations::Start, void(Results...)> {
public:
    template <class Initiation, class... Arguments>
    static void initiate(Initiation&& initiation, nearhop::loop::Operations::Start token, Arguments&&... arguments) {
        token.operations.begin(token.slot, std::forward<Initiation>(initiation), std::forward<Arguments>(arguments)...);
    }
};
