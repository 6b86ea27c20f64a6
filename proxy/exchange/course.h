#pragma once

#include "conf/config.h"
#include "proxy/account/counters.h"
#include "proxy/account/fault.h"
#include "proxy/exchange/origin_times.h"
#include "proxy/steering/decision.h"

#include <chrono>
#include <cstdint>
#include <optional>

/// Where a request goes next, and why not further: the rules of docs/retries.md about moving, Idempotency-Keys, hedges
/// and full origins. Without socket, clock or coroutine: the exchange, the simulator and tests by table drive the same.
namespace nearhop::exchange {

using account::Fault;

constexpr bool is_gateway(unsigned status) noexcept { return status == 502 || status == 503 || status == 504; }
/// An answer after which another origin may be asked: refused before processing (RFC 9110 section 15.5.20), or a
/// gateway's.
constexpr bool is_retried(unsigned status) noexcept { return status == 421 || is_gateway(status); }

/// How an attempt ended, by what is known for certain.
struct AttemptEnd {
    Fault fault = Fault::none;
    unsigned status = 0;        ///< of a complete response head, 0: none
    bool connected = false;     ///< there was a connection: bytes of the request may be on it
    bool body_held = true;      ///< every body byte read so far can be sent again
    bool out_of_time = false;   ///< the deadline has passed
    bool out_of_ports = false;  ///< edge_overloaded for want of a local port, which is so towards one address only

    /// Whether the origin may have processed a byte. Not if its TLS refused us while the request was under way. That
    /// no longer helps once the edge has let go of a part of the body.
    bool was_sent() const noexcept { return connected && !(info(fault).nothing_sent && body_held); }
    /// Whether the origin refused the request before processing, although it may have had all of it.
    bool was_refused() const noexcept { return status == 421 || (connected && !was_sent()); }
    bool is_answer() const noexcept { return fault == Fault::none && !is_retried(status); }
    /// No origin can help: the edge lacks the same towards every origin, except for local ports.
    bool is_final() const noexcept {
        return account::is_final(fault) || (fault == Fault::edge_overloaded && !out_of_ports);
    }
};

/// One request's way from origin to origin. Driven like this:
///
///     for (auto step = course.begin(...);;) {
///         stop:  there is an answer to forward, or step.fault
///         queue: wait for room at step.candidate, then step = course.admitted()
///         ask:   wait a random part of step.back_off; without room there, step = course.no_room(); else
///                course.asks(), course.sends() before the first byte, and at the end step = course.ended(end)
///     }
class Course {
public:
    /// What the edge knows and has at this moment. The course asks when it needs to know, not before: a decision is
    /// made and a token is spent only where a move depends on it.
    class Edge {
    public:
        /// The decision by the latest verdicts, valid until the next call.
        virtual const steering::Decision& decide(const steering::Earlier& earlier) = 0;
        /// Whether an operator keeps requests away from it, by the latest order.
        virtual bool is_ordered_out(geo::OriginId origin) = 0;

        /// As steering::Earlier::pinned: the origin that the request's Idempotency-Key is tied to. Asked, as the next
        /// two, only for requests with a key.
        virtual std::optional<steering::OriginSet> pinned() = 0;
        struct Claim {
            bool ours = false;  ///< the key is tied to the origin that was asked for
            bool made = false;  ///< by this call: nobody had the request before
        };
        virtual Claim claim(geo::OriginId origin) = 0;
        virtual void release(geo::OriginId origin) = 0;

        virtual bool has_token() = 0;
        virtual bool take_token() = 0;

    protected:
        ~Edge() = default;
    };

    /// What stays the same for the whole request.
    struct Facts {
        steering::MethodClass method = steering::MethodClass::safe;
        bool has_key = false;  ///< an unsafe method with an Idempotency-Key that is not empty
        conf::Hedge hedge{};   ///< of the site, where the request is fit for it: GET or HEAD without body
    };

    struct Step {
        enum class Kind : std::uint8_t { ask, queue, stop };
        Kind kind = Kind::stop;
        steering::Considered candidate{};       ///< ask, queue: there
        bool again = false;                     ///< ask: the same origin, on a fresh connection
        std::chrono::milliseconds back_off{0};  ///< ask: a random part of it is waited before
        Fault fault = Fault::none;              ///< stop: none if the answer at hand is forwarded
        std::optional<account::Stay> stay{};    ///< stop: why it stays where it failed
    };

    explicit Course(Edge& edge) noexcept : edge_{edge} {}

    /// `failover` outlives the course.
    Step begin(const Facts& facts, const conf::Failover& failover, const steering::Decision& decision);
    /// The origin that was to be asked is at its capacity.
    Step no_room();
    /// Room was found for it in the queue.
    Step admitted();
    /// The attempt at the candidate of the last step begins.
    void asks() noexcept { ++attempts_; }
    /// Before the first byte goes to an origin. False: another request with the same key was faster, and went
    /// elsewhere; the attempt is over, and outrun() says what comes then.
    bool sends(const steering::Considered& candidate);
    Step outrun() { return next(); }
    Step ended(const AttemptEnd& end);

    /// Whether to go on elsewhere is allowed although the origin may still answer.
    bool may_leave(bool connected, bool body_held) const;
    /// Whether another origin would serve the same request, had it not begun here and tied its key.
    bool has_other() const noexcept;

    // A second origin beside the first, once; of both, the first good answer counts.
    bool may_hedge() const noexcept {
        return facts_.hedge.kind != conf::Hedge::Kind::off && !hedged_ && failover_->enabled;
    }
    /// When the first is late; max: never. `heads`: of its origin. `sent_at`: empty while there is no connection.
    loop::TimePoint hedge_due(const HeadTimes& heads, loop::TimePoint asked_at,
                              std::optional<loop::TimePoint> sent_at) const noexcept;
    /// Where to, if anywhere; it was the only chance. hedge_begins() if there is room for it.
    std::optional<steering::Considered> hedge();
    void hedge_begins(const steering::Considered& candidate);
    void hedge_failed() noexcept { earlier_.tried.set(hedge_.position); }  ///< the first goes on alone
    void hedge_won() noexcept { at_ = hedge_; }
    void hedge_takes_over() noexcept;  ///< the first attempt is out: the hedge is the move

    unsigned attempts() const noexcept { return attempts_; }
    /// What the request left behind so far; `pinned` as of the latest decision.
    const steering::Earlier& earlier() const noexcept { return earlier_; }
    bool has_moved() const noexcept { return moved_; }

private:
    enum class Move : std::uint8_t { no, next_origin, same_origin };

    Step ask(const steering::Considered& candidate) noexcept;
    Step next();
    Step again(const AttemptEnd& end);
    Step onward(const AttemptEnd& end);
    Move move_after(const AttemptEnd& end) const;
    Move may_move(const AttemptEnd& end) const noexcept;
    account::Stay why_bound(const AttemptEnd& end) const noexcept;
    void note_key(const AttemptEnd& end);
    std::optional<steering::Considered> next_candidate();
    std::optional<steering::OriginSet> pinned() const;
    std::chrono::milliseconds back_off() const;
    /// No further origin may get a byte, whether the attempt at hand sent any or not.
    bool had_by_enough() const noexcept { return sent_to_.count() >= failover_->sent_candidates; }

    Edge& edge_;
    Facts facts_;
    const conf::Failover* failover_ = nullptr;
    const steering::Decision* decision_ = nullptr;  ///< the latest

    steering::Considered at_{};     ///< of the last step, or the hedge that took its place
    steering::Considered hedge_{};  ///< beside it
    steering::Earlier earlier_;
    steering::OriginSet sent_to_;                ///< may have got a byte of the request
    steering::OriginSet again_at_;               ///< asked a second time already
    std::optional<steering::Considered> acted_;  ///< had the request with its key, and may have acted on it
    bool pin_made_ = false;                      ///< by the attempt at hand: nobody had the request before
    bool moved_ = false;
    bool hedged_ = false;  ///< or could not be
    unsigned attempts_ = 0;
};

}  // namespace nearhop::exchange
