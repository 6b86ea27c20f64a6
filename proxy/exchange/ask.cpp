#include "proxy/exchange/exchange.h"
#include "proxy/origin/probe.h"
#include "proxy/origin/server_name.h"

#include <algorithm>
#include <utility>

/// One attempt of an exchange: its connection, the request on it, and the wait for a response head. Where a hedge runs
/// beside it, hedge.cpp has the second one's part.
namespace nearhop::exchange {

using loop::Io;
using loop::TimePoint;

/// Gives the attempt an idle connection, or begins to dial. Nothing of the request is sent here.
void Exchange::begin_connect(Attempt& attempt, bool fresh) {
    const auto id = attempt.candidate.id;
    origin::Pool& pool = *bound_->pools[id];
    const OriginInfo& origin = bound_->routing->origins[id];
    attempt.began_at = context_.loop.now();
    attempt.trial = context_.begin_trial(id);
    const auto announcement = origin.proxy_protocol ? this->announcement() : origin::Announcement{};
    auto server_name = origin::followed_name(origin, host_sent(request_, *site_, origin));
    if (!fresh) {
        if (auto idle = pool.take(announcement, server_name)) {
            idle->stream.socket().notify_to(wake_);
            attempt.begin(std::move(idle), request_.method, config_->limits, forwarding_.upgrade);
            return;
        }
    }
    attempt.dial = std::make_unique<origin::Dial>(pool, origin, current().addresses, id, config_->failover, wake_,
                                                  announcement, std::move(server_name));
}

/// The client as it was located; its port is known only where it is who the connection came from.
origin::Announcement Exchange::announcement() const noexcept {
    const std::uint16_t port = located_.client == peer_.address ? peer_.port : std::uint16_t{0};
    return origin::Announcement::of({located_.client, port}, peer_.edge);
}

/// What the origin says of itself in the head at hand is for us, not for the client.
void Exchange::hear_agent(Attempt& attempt) {
    const OriginInfo& origin = bound_->routing->origins[attempt.candidate.id];
    if (origin.agent_header.empty()) return;
    if (const auto word = origin::agent_of(attempt.head().fields, origin.agent_header); word != health::Agent::none)
        context_.report_agent(*bound_, attempt.candidate.id, word);
    attempt.drop_field(origin.agent_header);
}

/// The dial is over, `fault` says how: what it learnt is told, and the connection is the attempt's.
void Exchange::end_dial(Attempt& attempt, Fault fault) {
    const auto id = attempt.candidate.id;
    const auto dial = std::move(attempt.dial);
    out_of_ports_ = dial->is_out_of_ports();
    for (const auto& failure : dial->failures())
        if (is_to_blame(attempt, failure.fault))
            context_.report({bound_->routing, id, health::Passive::connect_failed, info(failure.fault).reason,
                             std::string{failure.address}});
    if (fault != Fault::none) {
        if (is_to_blame(attempt, fault) && !cut_short_) context_.skip(bound_->routing, id);
        return;
    }
    attempt.begin(dial->take(), request_.method, config_->limits, forwarding_.upgrade);
    context_.report_dialled(*bound_, id, attempt.connection->address);
}

/// Where clients choose the name that a connection is secured by, they would choose which origin fails: of a handshake
/// it is probes alone that count.
bool Exchange::is_to_blame(const Attempt& attempt, Fault fault) const noexcept {
    const bool is_of_name = fault == Fault::origin_tls || fault == Fault::origin_certificate;
    return info(fault).side == Side::origin && !(is_of_name && origin_of(attempt).follows_host);
}

/// Writes the request's head, unless another request with the same Idempotency-Key was faster and went elsewhere.
bool Exchange::begin_sending(Attempt& attempt) {
    if (!course_.sends(attempt.candidate)) return false;
    write_request_head(request_, forwarding_, *site_, origin_of(attempt), attempt.staging());
    return true;
}

/// Does what can be done for the attempt now; `failed` leaves the reason in `fault`.
Exchange::Turn Exchange::take_turn(Attempt& attempt, Fault& fault) {
    const auto now = context_.loop.now();
    if (attempt.dial) {
        const auto step = attempt.dial->step();
        if (step == origin::Dial::Step::pending) return Turn::pending;
        fault = step == origin::Dial::Step::failed ? attempt.dial->fault() : Fault::none;
        end_dial(attempt, fault);
        if (fault != Fault::none) return Turn::failed;
    }
    if (!attempt.begun) {
        if (!begin_sending(attempt)) {
            fault = Fault::key_pinned;
            return Turn::failed;
        }
        attempt.begun = true;
    }
    for (;;) {
        fault = attempt.pump(client_, request_, trailer_rules(attempt), replay_, limits_->body_limit, bytes_in_);
        if (fault != Fault::none) return Turn::failed;
        switch (attempt.receive_head()) {
            case Attempt::Progress::pending: return Turn::pending;
            case Attempt::Progress::failed: fault = attempt.fault(); return Turn::failed;
            case Attempt::Progress::head:
                hear_agent(attempt);
                times_of(attempt).silence.answered(now);
                if (attempt.request_complete()) {
                    head_time_ = now - attempt.sent_at;
                    times_of(attempt).heads.add(head_time_);
                }
                return Turn::head;
            case Attempt::Progress::interim: {
                hear_agent(attempt);
                times_of(attempt).silence.heard(now);
                if (&attempt != attempt_.get()) continue;
                const auto& head = attempt.head();
                const bool wanted = wants_interim(head.status);
                if (head.status == 100) continue_sent_ = true;
                if (wanted && client_.unsent() < wire::Stream::high_water) client_.interim(head.status, head.fields);
                if (client_.flush() != Io::failed) continue;
                fault = Fault::client_gone;
                return Turn::failed;
            }
        }
    }
}

/// Whether the client gets an interim answer: a 100 if it waits for one, others as its site says.
bool Exchange::wants_interim(unsigned status) const {
    if (status == 100) return request_.expects_continue && !continue_sent_;
    switch (site_->interim_responses) {
        case conf::InterimResponses::http2: return request_.http2;
        case conf::InterimResponses::all: return true;
        case conf::InterimResponses::none: break;
    }
    return false;
}

/// The head has gone, and the client sends its body only when the origin wants it: until then it is the origin that is
/// awaited, as with a request that is whole.
bool Exchange::awaits_continue() const {
    return request_.expects_continue && !continue_sent_ && bytes_in_ == 0 && attempt_->waits_for_client();
}

/// Connects attempt_, sends the request, and waits for the response head: of attempt_, or of a hedge that becomes it.
loop::Task<Fault> Exchange::ask(bool fresh) {
    enum class Phase : std::uint8_t { begins, dials, sends, waits };  // of attempt_
    auto phase = Phase::begins;
    if (sends_apart()) {
        co_await wake_.yield_if_crowded();  // before it takes a connection: an idle one is watched by its pool
        if (const Fault cause = interruption(); cause != Fault::none) co_return cause;
    }
    const auto asked_at = context_.loop.now();
    auto since = asked_at;
    awaits_body_ = false;
    Watch watch;
    TimePoint watched{};  // of the head alone, and again once the body has followed it
    auto hedge_at = TimePoint::max();
    begin_connect(*attempt_, fresh);
    for (;;) {
        const auto now = context_.loop.now();
        Fault fault = Fault::none;
        const Turn turn = take_turn(*attempt_, fault);
        if (is_final(fault)) co_return fault;
        if (phase <= Phase::dials && attempt_->begun) {
            if (phase == Phase::dials) connect_time_ += now - since;
            waited_ += now - since;
            since = now;
            phase = Phase::sends;
            watch.waiting.leave();
        }
        const unsigned status = turn == Turn::head ? attempt_->head().status : 0;
        const bool good = turn == Turn::head && !is_retried(status);
        if (turn != Turn::pending && (good || !hedge_)) {
            if (turn == Turn::head && !attempt_->request_complete()) head_time_ = now - since;
            if (phase == Phase::dials) connect_time_ += now - since;
            waited_ += now - since;
            drop_hedge();
            if (turn == Turn::head && misleading_success()) fault = Fault::origin_bad_response;
            co_return fault;
        }
        if (turn == Turn::pending && hedge_ && hedge_wins(watch)) {
            waited_ += now - since;
            co_return Fault::none;
        }
        if (const Fault cause = interruption(); cause != Fault::none) co_return cause;

        bool out = turn != Turn::pending;
        auto due = TimePoint::max();
        if (!out && attempt_->waits_for_client() && !awaits_continue()) {
            // The client's own slowness costs nobody's deadline.
            if (phase == Phase::waits) {  // for the 100, which has come
                phase = Phase::sends;
                watch.end();
            }
            if (!awaits_body_) waited_ += now - since;
            if (body_is_too_slow(now)) co_return Fault::client_body_timeout;
            due = upload_.due(config_->limits.body_timeout);
        } else if (!out) {
            awaits_body_ = false;
            due = since + time_left();
            if (now >= due) {
                waited_ += now - since;
                drop_hedge();
                cut_short_ = attempt_->dial != nullptr;
                co_return cut_short_ ? Fault::origin_connect_timeout : Fault::origin_head_timeout;
            }
            if (attempt_->dial) {
                if (std::exchange(phase, Phase::dials) != Phase::dials) {
                    watch.begin(*this, now);
                    hedge_at = hedge_due(asked_at);
                }
                due = std::min(due, attempt_->dial->due());
            } else if (is_asked()) {
                const bool begins = std::exchange(phase, Phase::waits) != Phase::waits;
                if (std::exchange(watched, attempt_->sent_at) != attempt_->sent_at || begins) {
                    watch.begin(*this, watched);
                    hedge_at = hedge_due(asked_at);
                }
                const auto head_due = attempt_->sent_at + limits_->head_timeout;
                if (now >= head_due)
                    fault = Fault::origin_head_timeout;
                else
                    due = std::min(due, head_due);
            }
            if (watch.in_vain(*this, now) && fault == Fault::none) fault = Fault::origin_stalled;
            if (watch.path_lost(*this, now)) fault = Fault::origin_lost;
            if (fault != Fault::none && !hedge_ && !may_leave()) {
                const bool hopeless = is_hopeless(watch, now);
                if (hopeless && fault == Fault::origin_stalled) fault = Fault::origin_head_timeout;
                if (!hopeless) {
                    fault = Fault::none;
                    due = std::min(due, now + loop::Socket::look_again);
                }
            }
            out = fault != Fault::none;
            if (!out && course_.may_hedge() && now >= hedge_at) begin_hedge();
            due =
                std::min({due, watch.look_at, watch.ask_kernel_at, course_.may_hedge() ? hedge_at : TimePoint::max()});
        }
        if (out) waited_ += now - since;
        if (out && !hedge_) co_return fault;
        if (out) {
            promote_hedge(fault, status);
            since = now;
            phase = Phase::begins;
            watch.waiting.leave();
            continue;
        }
        if (hedge_ && hedge_->dial) due = std::min(due, hedge_->dial->due());
        timer_.expires_at(due);
        co_await wake_.wait();
        if (awaits_body_) since = context_.loop.now();
    }
}

/// Whether the client, which is the one awaited, sends its body too slowly. `upload_` says when to look again.
bool Exchange::body_is_too_slow(TimePoint now) noexcept {
    const auto& limits = config_->limits;
    if (!std::exchange(awaits_body_, true)) upload_.begin(now, bytes_in_);
    return upload_.is_too_slow(now, bytes_in_, limits.body_timeout, limits.body_rate);
}

/// An extended CONNECT takes any 2xx for a tunnel (RFC 8441 section 5), and a key of ours needs its proper answer.
bool Exchange::misleading_success() const {
    if (!request_.extended_connect) return false;
    const auto& head = attempt_->head();
    if (!switched()) return head.status < 300;
    if (websocket_key_.empty()) return false;
    const std::string wanted = websocket_accept(websocket_key_);
    return std::none_of(head.fields.begin(), head.fields.end(), [&](const wire::Field& field) {
        return wire::equal_ignoring_case(field.name, "sec-websocket-accept") && field.value == wanted;
    });
}

}  // namespace nearhop::exchange
