#include "proxy/exchange/exchange.h"
#include "proxy/exchange/least_rate.h"

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
    if (!fresh) {
        if (auto idle = pool.take()) {
            idle->stream.socket().notify_to(wake_);
            attempt.begin(std::move(idle), request_.method, config_->limits, forwarding_.upgrade);
            return;
        }
    }
    attempt.dial = std::make_unique<origin::Dial>(pool, bound_->routing->origins[id], current().addresses, id,
                                                  config_->failover, wake_);
}

/// The dial is over, `fault` says how: what it learnt is told, and the connection is the attempt's.
void Exchange::end_dial(Attempt& attempt, Fault fault) {
    const auto id = attempt.candidate.id;
    const auto dial = std::move(attempt.dial);
    for (const auto& failure : dial->failures())
        if (info(failure.fault).side == Side::origin)
            context_.report({bound_->routing, id, health::Passive::connect_failed, info(failure.fault).reason,
                             std::string{failure.address}});
    if (fault != Fault::none) {
        if (info(fault).side == Side::origin && !cut_short_) context_.skip(bound_->routing, id);
        return;
    }
    attempt.begin(dial->take(), request_.method, config_->limits, forwarding_.upgrade);
    context_.report_dialled(*bound_, id, attempt.connection->address);
}

/// Gives attempt_ a connection, kept-alive or new.
loop::Task<Fault> Exchange::connect(bool fresh) {
    begin_connect(*attempt_, fresh);
    if (attempt_->connection) co_return Fault::none;
    const auto began = context_.loop.now();
    origin::Dial& dial = *attempt_->dial;
    auto step = dial.step();
    Fault fault = Fault::none;
    while (step == origin::Dial::Step::pending) {
        if (client_.gone()) {
            fault = Fault::client_gone;
            break;
        }
        if (context_.loop.now() - began >= time_left()) {
            cut_short_ = true;
            fault = Fault::origin_connect_timeout;
            break;
        }
        timer_.expires_at(std::min(dial.due(), began + time_left()));
        co_await wake_.wait();
        step = dial.step();
    }
    const auto took = context_.loop.now() - began;
    waited_ += took;
    connect_time_ += took;
    if (step == origin::Dial::Step::failed) fault = dial.fault();
    end_dial(*attempt_, fault);
    co_return fault;
}

void Exchange::begin_sending(Attempt& attempt) {
    const auto id = attempt.candidate.id;
    sent_to_.set(id);
    write_request_head(request_, forwarding_, *site_, bound_->routing->origins[id], attempt.staging());
}

/// Does what can be done for the attempt now; `failed` leaves the reason in `fault`.
Exchange::Turn Exchange::take_turn(Attempt& attempt, Fault& fault) {
    if (!attempt.connection) {  // a hedge may still dial
        const auto step = attempt.dial->step();
        if (step == origin::Dial::Step::pending) return Turn::pending;
        fault = step == origin::Dial::Step::failed ? attempt.dial->fault() : Fault::none;
        end_dial(attempt, fault);
        if (fault != Fault::none) return Turn::failed;
        begin_sending(attempt);
    }
    const auto now = context_.loop.now();
    for (;;) {
        fault = attempt.pump(client_, request_, replay_, limits_->body_limit, bytes_in_);
        if (fault != Fault::none) return Turn::failed;
        switch (attempt.receive_head()) {
            case Attempt::Progress::pending: return Turn::pending;
            case Attempt::Progress::failed: fault = attempt.fault(); return Turn::failed;
            case Attempt::Progress::head:
                times_of(attempt).silence.answered(now);
                if (attempt.request_complete()) {
                    head_time_ = now - attempt.sent_at;
                    times_of(attempt).heads.add(head_time_);
                }
                return Turn::head;
            case Attempt::Progress::interim: {
                times_of(attempt).silence.heard(now);
                if (&attempt != attempt_.get()) continue;
                const auto& head = attempt.head();
                const bool wanted = head.status != 100 || (request_.expects_continue && !continue_sent_);
                if (head.status == 100) continue_sent_ = true;
                if (wanted && client_.unsent() < wire::Stream::high_water) client_.interim(head.status, head.fields);
                if (client_.flush() != Io::failed) continue;
                fault = Fault::client_gone;
                return Turn::failed;
            }
        }
    }
}

/// Whether the retry table allows to go on elsewhere although the origin may still answer.
bool Exchange::may_leave() const {
    return config_->failover.enabled && sent_to_.count() < config_->failover.sent_candidates &&
           may_move({.method = method_, .body_replayable = replay_.whole(), .request_sent = true}) ==
               Move::next_origin &&
           another_candidate() && state_->budget->tokens() >= 1;
}

/// Notes that attempt_ waits for a head. The time at which to look whether all who wait there do so in vain; one of
/// the first few need not look, a later one does.
TimePoint Exchange::stall_due(Silence::Waiter& waiting) {
    const auto& passive = config_->origins[attempt_->candidate.id].passive;
    if (!passive.enabled || passive.stall == passive.stall.zero()) return TimePoint::max();
    auto& times = times_of(*attempt_);
    waiting.join(times.silence, wake_, attempt_->sent_at);
    const bool looks = times.silence.waiting() >= Silence::few && times.heads.known();
    return looks ? attempt_->sent_at + times.silence.patience(passive.stall, times.heads) : TimePoint::max();
}

/// Sends the request and waits for the response head.
loop::Task<Fault> Exchange::await_head() {
    begin_sending(*attempt_);
    auto since = context_.loop.now();
    LeastRate upload;
    bool awaits_client = false;
    bool complete = false;  // the request of attempt_ is sent, and what follows from that is known
    Silence::Waiter waiting;
    auto look_at = TimePoint::max();
    auto hedge_at = TimePoint::max();
    for (;;) {
        const auto now = context_.loop.now();
        Fault fault = Fault::none;
        const Turn turn = take_turn(*attempt_, fault);
        if (info(fault).side == Side::client) co_return fault;
        const unsigned status = turn == Turn::head ? attempt_->head().status : 0;
        const bool good = turn == Turn::head && status != 421 && status != 502 && status != 503 && status != 504;
        if (turn != Turn::pending && (good || !hedge_)) {
            if (turn == Turn::head && !attempt_->request_complete()) head_time_ = now - since;
            waited_ += now - since;
            drop_hedge();
            co_return turn == Turn::head&& misleading_success() ? Fault::origin_bad_response : fault;
        }
        if (turn == Turn::pending && hedge_ && hedge_wins()) {
            waited_ += now - since;
            co_return Fault::none;
        }
        if (client_.gone()) co_return Fault::client_gone;

        bool out = turn != Turn::pending;
        auto due = TimePoint::max();
        if (!out && attempt_->waits_for_client()) {
            // The client's own slowness costs nobody's deadline.
            if (!std::exchange(awaits_client, true)) {
                waited_ += now - since;
                upload.begin(now, bytes_in_);
            }
            if (upload.is_too_slow(now, bytes_in_, config_->limits.body_timeout, config_->limits.body_rate))
                co_return Fault::client_body_timeout;
            due = upload.due(config_->limits.body_timeout);
        } else if (!out) {
            awaits_client = false;
            due = since + time_left();
            if (now >= due) {
                waited_ += now - since;
                drop_hedge();
                co_return Fault::origin_head_timeout;
            }
            if (attempt_->dial) due = std::min(due, attempt_->dial->due());
            if (attempt_->request_complete() && !std::exchange(complete, true)) {
                look_at = stall_due(waiting);
                hedge_at = hedge_due();
            }
            if (complete) {
                if (now >= look_at) {
                    look_at = TimePoint::max();
                    auto& times = times_of(*attempt_);
                    const auto id = attempt_->candidate.id;
                    if (times.silence.found(now, config_->origins[id].passive.stall, times.heads))
                        context_.stalled(*bound_, id);
                }
                const auto head_due = attempt_->sent_at + limits_->head_timeout;
                if (now >= head_due)
                    fault = Fault::origin_head_timeout;
                else if (waiting.in_vain())
                    fault = Fault::origin_stalled;
                else
                    due = std::min(due, head_due);
                if (fault != Fault::none && !hedge_ && !may_leave()) fault = Fault::none;
                out = fault != Fault::none;
                if (!out && !hedged_ && now >= hedge_at) begin_hedge();
                due = std::min({due, look_at, hedged_ ? TimePoint::max() : hedge_at});
            }
        }
        if (out && !hedge_) {
            waited_ += now - since;
            co_return fault;
        }
        if (out) {
            promote_hedge(fault, status);
            waited_ += now - since;
            since = now;
            waiting.leave();
            complete = false;
            continue;
        }
        if (hedge_ && hedge_->dial) due = std::min(due, hedge_->dial->due());
        timer_.expires_at(due);
        co_await wake_.wait();
        if (awaits_client) since = context_.loop.now();
    }
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
