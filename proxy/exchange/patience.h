#pragma once

#include "proxy/account/fault.h"
#include "proxy/loop/loop.h"
#include "proxy/loop/socket.h"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace nearhop::exchange {

using account::Fault;

/// How long an exchange waits for an attempt's response head, and why not longer: docs/retries.md has the rules. Pure:
/// what happened comes in, the next step comes out. Each turn of the exchange calls turn_to(), then questions() and
/// step(), waits until Step::until or for an event, and begins again.
class Patience {
public:
    using Delivery = loop::Socket::Delivery;

    enum class Awaits : std::uint8_t {
        nothing,  ///< the attempt begins
        dial,     ///< a connection
        origin,   ///< that takes the request more slowly than the client sends it
        client,   ///< that sends its body more slowly than the origin takes it
        head,     ///< the origin has all that it needs for an answer
    };
    enum class Why : std::uint8_t {
        none,
        deadline,  ///< the exchange has no time left for origins
        late,      ///< head_timeout is over
        silent,    ///< all requests to this origin wait in vain
        lost,      ///< the path to the address is lost: this request's, or another one's
    };

    /// A wait that begins.
    struct Wait {
        loop::TimePoint since;
        loop::Clock::duration usual{0};  ///< p99 of the origin's answers; zero: not known yet
        /// How long after `since` to look whether the origin is silent; none: others look.
        std::optional<loop::Clock::duration> silence{};
    };

    /// What is worth finding out before step(). Each costs something, so that it is asked for rarely.
    struct Questions {
        bool silence = false;   ///< look whether the origin is silent now: Silence::found()
        bool others = false;    ///< Facts::others_lost and ::doubted
        bool delivery = false;  ///< Facts::delivery, a system call
        bool trouble = false;   ///< something may end the wait: all other Facts as well
    };

    struct Facts {
        loop::TimePoint deadline;  ///< when the time for origins is used up
        loop::Clock::duration head_timeout{0};
        loop::Clock::duration connect_timeout{0};
        bool in_vain = false;  ///< Silence::Waiter::in_vain(), after the look that was asked for
        // The following are looked at only if they were asked for, or with in_vain.
        Delivery delivery = Delivery::under_way;  ///< what the kernel says of the request's bytes
        bool others_lost = false;                 ///< others lost their path to the address since this one was sent
        bool doubted = false;                     ///< a dial to it failed since, and another address answered
        bool probe_passed = false;                ///< a probe since this one was sent
        bool hedged = false;                      ///< another attempt runs beside it and may take its place
        bool may_leave = false;                   ///< the retry table allows to go on elsewhere
        /// It may not leave, although another origin would serve the client's own next try: then it is worth to know
        /// whether the origin is dead or slow.
        bool only_waits = false;
    };

    /// What to do: to give up with `fault`, or to wait until `until`; and what others must hear meanwhile.
    struct Step {
        loop::TimePoint until;
        Fault fault = Fault::none;  ///< none: wait
        Why why = Why::none;
        bool path_lost = false;   ///< it was found now: other requests must not meet the same path
        bool ask_path = false;    ///< from now on the kernel asks the peer's whether it is still there
        bool want_probe = false;  ///< of the origin, at once
    };

    Awaits awaits() const noexcept { return awaits_; }
    /// Notes what is awaited now, `since` when. True: a wait begins; unless it is for the client, or for the origin to
    /// take the request, begin() follows.
    bool turn_to(Awaits awaits, loop::TimePoint since) noexcept;
    void begin(const Wait& wait) noexcept;

    Questions questions(loop::TimePoint now, loop::Clock::duration head_timeout) const noexcept;
    /// The client's own slowness costs nobody's deadline: not while Awaits::client.
    Step step(loop::TimePoint now, const Facts& facts) noexcept;

private:
    bool head_is_late(loop::TimePoint now, loop::Clock::duration head_timeout) const noexcept {
        return awaits_ == Awaits::head && now >= since_ + head_timeout;
    }
    bool judge_path(loop::TimePoint now, const Facts& facts, Step& step) noexcept;
    bool is_hopeless(loop::TimePoint now, const Facts& facts) const noexcept;

    static constexpr auto never = loop::TimePoint::max();

    Awaits awaits_ = Awaits::nothing;
    bool acknowledged_ = false;  ///< the peer's kernel has the whole request
    bool lost_ = false;          ///< its own path is
    bool asks_path_ = false;
    bool unanswered_ = false;  ///< the peer's kernel no longer answers, although it is asked
    loop::TimePoint since_{};
    loop::TimePoint silence_at_ = never;  ///< when to look whether the origin is silent
    loop::TimePoint path_at_ = never;     ///< and what became of the request on its way
    loop::TimePoint vain_since_ = never;
};

}  // namespace nearhop::exchange
