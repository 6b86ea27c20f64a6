#pragma once

#include "proxy/exchange/answer.h"
#include "proxy/exchange/attempt.h"
#include "proxy/exchange/codec.h"
#include "proxy/exchange/context.h"
#include "proxy/exchange/course.h"
#include "proxy/exchange/patience.h"
#include "proxy/exchange/relay.h"
#include "proxy/exchange/request_id.h"
#include "proxy/exchange/stopwatch.h"
#include "proxy/loop/task.h"
#include "proxy/message/headers.h"
#include "proxy/origin/dial.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace nearhop::exchange {

/// What a session knows of the peer at the other end.
struct Peer {
    geo::Address address;                             ///< the TCP peer, or what its PROXY header said
    const shared::ListenerRules* listener = nullptr;  ///< as it was when the connection came; never null
    std::string server_name{};                        ///< SNI; empty: none, or no TLS
    wire::ClientRule::Id client_rule{};  ///< under which the handshake was made; zero: no certificate was asked for
    std::string identity{};              ///< field lines of the verified client certificate
    std::unique_ptr<const wire::CertificateNames> certificate{};  ///< of the same; null: none
    std::uint16_t port = 0;                                       ///< beside `address`
    origin::Announcement::Party edge;                             ///< where the connection came to: our end of it
};

inline double milliseconds_of(loop::Clock::duration time) noexcept {
    return std::chrono::duration<double, std::milli>{time}.count();
}

/// How an exchange ended, for the session.
struct Outcome {
    unsigned status = 0;  ///< 0: nothing was answered
    Fault fault = Fault::none;
    bool response_complete = false;
};

/// One request and its response: locates the client, decides, offers the request to origins in the decided order
/// until one answers, relays the answer, counts and logs. Read run() from top to bottom to follow a request.
class Exchange final : private Course::Edge {
public:
    Exchange(Context& context, loop::Wake& wake, Codec& client, const message::Request& request, const Peer& peer);
    ~Exchange();
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

    /// Never throws but for want of memory to say even that: what goes wrong below is answered edge_internal.
    loop::Task<Outcome> run();

private:
    loop::Task<Fault> carry();
    Fault choose_answer(Fault fault);

    // What comes before an origin is asked: admit.cpp.
    void locate();
    Fault decide();
    Fault check_request();
    bool misdirected(steering::SiteId site) const;
    Fault admit();

    // What ends with a response head: offer.cpp, connect.cpp, ask.cpp, wait.cpp, hedge.cpp.
    loop::Task<Fault> offer();
    const steering::Decision& decide(const steering::Earlier& earlier) override;
    bool is_ordered_out(geo::OriginId origin) override;
    std::optional<steering::OriginSet> pinned() override;
    Claim claim(geo::OriginId origin) override;
    void release(geo::OriginId origin) override;
    bool has_token() override;
    bool take_token() override;
    Course::Facts course_facts() const noexcept;
    void begin_attempt(const steering::Considered& candidate);
    std::unique_ptr<Attempt> next_attempt(const steering::Considered& candidate);
    AttemptEnd attempt_end(Fault fault) const noexcept;
    void learn_from(const AttemptEnd& end);
    Fault stay(const Course::Step& step);
    void leave(const Course::Step& step, Fault fault);
    bool is_news(const Attempt& attempt);
    bool take_slot(const steering::Considered& candidate);
    loop::Task<Fault> queue_for(geo::OriginId id);
    void count_spill(geo::OriginId chosen);
    /// Whether the request may try out an origin that may not answer.
    bool may_try() const noexcept { return method_ != steering::MethodClass::unsafe; }
    loop::Task<Fault> ask(bool fresh);
    origin::Announcement announcement() const noexcept;
    void hear_agent(Attempt& attempt);
    void begin_connect(Attempt& attempt, bool fresh);
    void end_dial(Attempt& attempt, Fault fault);
    bool is_to_blame(const Attempt& attempt, Fault fault) const noexcept;
    bool begin_sending(Attempt& attempt);
    enum class Turn : std::uint8_t { pending, head, failed };
    Turn take_turn(Attempt& attempt, Fault& fault);
    message::TrailerRules trailer_rules(const Attempt& attempt) const noexcept {  ///< of the request
        return {forwarding_.secret_headers,
                forwarding_.identity_headers,
                {},
                origin_of(attempt).own_fields,
                forwarding_.keep_underscores};
    }
    Upload::Terms upload_terms(const Attempt& attempt) noexcept {
        return {&request_, trailer_rules(attempt), &replay_, limits_->body_limit, bytes_.in};
    }
    const shared::OriginInfo& origin_of(const Attempt& attempt) const noexcept {
        return bound_->routing->origins[attempt.candidate.id];
    }
    /// Each request of HTTP/1.1 has a wake-up of its own, those of an HTTP/2 connection share one: they follow each
    /// other closely as it is, and waiting would only let them out of the cache.
    bool sends_apart() const noexcept { return request_.protocol != message::Protocol::http2; }
    bool wants_interim(unsigned status) const;
    bool may_leave() const { return course_.may_leave(attempt_->channel != nullptr, replay_.whole()); }
    bool awaits_continue() const;
    bool is_asked() const { return attempt_->upload.complete() || awaits_continue(); }
    bool body_is_too_slow(loop::TimePoint now) noexcept;
    /// The wait for the head of one attempt, or of two.
    struct Wait {
        loop::TimePoint asked_at;
        loop::TimePoint hedge_at = loop::TimePoint::max();
        Patience patience{};        ///< with attempt_
        Silence::Waiter silence{};  ///< attempt_ among those who wait for the same origin
    };
    std::optional<Fault> take_turns(Wait& wait);
    Patience::Awaits awaited() const;
    Patience::Step keep_waiting(Wait& wait, loop::TimePoint now);
    void begin_wait(Wait& wait, loop::TimePoint since);
    void end_connecting(Wait& wait, loop::TimePoint now);
    Patience::Step judge_wait(Wait& wait, loop::TimePoint now);
    void look_for_silence(const Attempt& attempt, loop::TimePoint now);
    void lose_path(Attempt& attempt);
    loop::TimePoint hedge_due(loop::TimePoint asked_at) const;
    void begin_hedge();
    bool hedge_wins(Wait& wait);
    void promote_hedge(Fault fault, unsigned status);
    void drop_hedge() noexcept;
    void park(std::unique_ptr<Attempt> attempt);
    void settle(Attempt& attempt, Fault fault, unsigned status);
    OriginTimes& times_of(const Attempt& attempt) const noexcept { return *bound_->times[attempt.candidate.id]; }

    // What follows it: deliver.cpp.
    Relay begin_relay();
    void end_relay(const Relay& relay, Fault fault);
    loop::Task<Fault> tunnel();
    ResponseStart response_start(std::string& own);
    void rewrite_locations();
    void append_own_fields(std::string& out) const;
    void choose_upgrade();
    /// Why it cannot go on, whatever origins do; none: it can.
    Fault interruption() {
        if (client_.gone()) return client_.why_gone();
        return context_.ends() ? Fault::edge_stopped : Fault::none;
    }
    bool misleading_success() const;
    loop::Task<Fault> back_off(loop::milliseconds longest);
    void note_body(Fault fault);
    void answer(Fault fault);
    void record();
    std::optional<steering::Reason> passed_over() const;
    void count_first_choice();
    const shared::Snapshot& current();
    void let_go() noexcept;
    void discard(std::unique_ptr<Attempt> attempt);
    void put_back(Attempt& attempt);
    bool got_421() const noexcept { return attempt_->head().status == 421; }
    Fault give_up_421();
    bool switched() const noexcept { return attempt_->head().status == 101; }
    void note(wire::Deviation found) noexcept;
    std::string_view path() const noexcept { return normal_target_.empty() ? request_.path : normal_path(); }
    std::string_view normal_path() const noexcept {
        return std::string_view{normal_target_}.substr(0, normal_target_.find('?'));
    }
    loop::Clock::duration time_left() const noexcept {
        return limits_->deadline.value - waited_.total(context_.loop.now());
    }

    Context& context_;
    loop::Wake& wake_;
    Codec& client_;
    const message::Request& request_;
    const Peer& peer_;
    loop::Timer timer_;

    std::shared_ptr<const shared::Snapshot>
        snapshot_;  ///< as it was when the exchange began; null once its origin is chosen
    std::shared_ptr<const steering::Trust> trust_;  ///< what is left of it then, where it is needed
    std::shared_ptr<const Bound> bound_;
    const conf::Config* config_ = nullptr;
    const steering::SiteTable* site_ = nullptr;
    const conf::ExchangeLimits* limits_ = nullptr;
    const SiteState* state_ = nullptr;

    shared::AddressCounts::Held held_;     ///< among the client's requests; counted only when much is in flight
    std::chrono::seconds retry_after_{5};  ///< of an answer that asks for patience
    steering::Located located_;
    message::Forwarding forwarding_;
    steering::Decision decision_;
    steering::FirstChoice first_;  ///< as it was when the first origin was asked
    Course course_{*this};
    steering::MethodClass method_ = steering::MethodClass::safe;
    std::string_view idempotency_key_;  ///< empty: none
    std::uint64_t pin_key_ = 0;         ///< what Pins know the request by; 0: it has no key, or needs none
    bool out_of_ports_ = false;         ///< the last dial that failed had no local port left towards its origin
    bool cut_short_ = false;            ///< the deadline ended a dial before its own time: no fault of its origin
    bool continue_sent_ = false;
    std::string websocket_key_;  ///< made for an extended CONNECT
    bool recorded_ = true;       ///< until run() begins there is nothing to record

    std::string normal_target_;    ///< under normalize_path, where it is another one than the client sent
    wire::Deviations deviations_;  ///< found here, not by the codec
    bool spent_ = false;           ///< OPTIONS that may not be forwarded

    std::unique_ptr<Attempt> attempt_;
    std::unique_ptr<Attempt> hedge_;   ///< the second one, while two are asked
    shared::OriginLoad::Slot slot_;    ///< for the next attempt
    std::unique_ptr<Attempt> parked_;  ///< an answered 502/503/504 that is forwarded if nobody does better
    Replay replay_;
    Stopwatch waited_;  ///< for origins, over all attempts: what the deadline counts

    bool response_started_ = false;
    bool relayed_ = false;  ///< what was started is an origin's response, not an answer of ours
    Outcome outcome_;
    struct {
        loop::TimePoint began{}, first_attempt{};
        loop::Clock::duration connecting{0};  ///< over all attempts
        loop::Clock::duration head{0};        ///< of the last attempt that brought one
    } times_;
    struct {
        std::uint64_t in = 0, out = 0;  ///< of the bodies
    } bytes_;
    RequestId id_;
};

}  // namespace nearhop::exchange
