#include "proxy/exchange/exchange.h"
#include "proxy/origin/agent.h"

#include <algorithm>
#include <utility>

/// One attempt of an exchange: turn by turn, from a connection to a response head. Where a hedge runs beside it,
/// hedge.cpp has the second one's part; wait.cpp has what is done while nothing comes.
namespace nearhop::exchange {

using loop::Io;
using origin::Channel;

/// What the origin says of itself in the head at hand is for us, not for the client.
void Exchange::hear_agent(Attempt& attempt) {
    const shared::OriginInfo& origin = bound_->routing->origins[attempt.candidate.id];
    if (origin.agent_header.empty()) return;
    if (const auto word = origin::agent_of(attempt.head().fields, origin.agent_header); word != health::Agent::none)
        context_.report_agent(*bound_, attempt.candidate.id, word);
    attempt.channel->drop_field(origin.agent_header);
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
    Channel& channel = *attempt.channel;
    for (;;) {
        fault = attempt.upload.move(client_, channel, upload_terms(attempt), now);
        if (fault != Fault::none) return Turn::failed;
        switch (channel.receive_head()) {
            case Channel::Progress::pending: return Turn::pending;
            case Channel::Progress::failed: fault = channel.fault(); return Turn::failed;
            case Channel::Progress::head:
                hear_agent(attempt);
                times_of(attempt).silence.answered(now);
                if (attempt.upload.complete()) {
                    times_.head = now - channel.sent_at;
                    times_of(attempt).heads.add(times_.head);
                }
                return Turn::head;
            case Channel::Progress::interim: {
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
        case conf::InterimResponses::http2: return request_.protocol == message::Protocol::http2;
        case conf::InterimResponses::all: return true;
        case conf::InterimResponses::none: break;
    }
    return false;
}

/// The head has gone, and the client sends its body only when the origin wants it: until then it is the origin that is
/// awaited, as with a request that is whole.
bool Exchange::awaits_continue() const {
    return request_.expects_continue && !continue_sent_ && bytes_.in == 0 && attempt_->waits_for_client();
}

/// Connects attempt_, sends the request, and waits for the response head: of attempt_, or of a hedge that becomes it.
loop::Task<Fault> Exchange::ask(bool fresh) {
    if (sends_apart()) {
        co_await wake_.yield_if_crowded();  // before it takes a connection: an idle one is watched by its pool
        if (const Fault cause = interruption(); cause != Fault::none) co_return cause;
    }
    Wait wait{context_.loop.now()};
    waited_.run(wait.asked_at);
    begin_connect(*attempt_, fresh);
    std::optional<Fault> end;
    while (!(end = take_turns(wait))) co_await wake_.wait();
    waited_.stop(context_.loop.now());
    drop_hedge();
    co_return *end;
}

/// One turn of attempt_, and of the hedge beside it. Returns how it ends: `none` with a head. Otherwise the timer says
/// when to look again.
std::optional<Fault> Exchange::take_turns(Wait& wait) {
    const auto now = context_.loop.now();
    Fault fault = Fault::none;
    const Turn turn = take_turn(*attempt_, fault);
    if (is_final(fault)) return fault;
    if (wait.patience.awaits() == Patience::Awaits::dial && (attempt_->begun || turn != Turn::pending))
        end_connecting(wait, now);
    const unsigned status = turn == Turn::head ? attempt_->head().status : 0;
    const bool good = turn == Turn::head && !is_retried(status);
    if (turn != Turn::pending && (good || !hedge_)) {
        if (turn == Turn::head && !attempt_->upload.complete()) times_.head = waited_.stretch(now);
        if (turn == Turn::head && misleading_success()) fault = Fault::origin_bad_response;
        return fault;
    }
    if (turn == Turn::pending && hedge_ && hedge_wins(wait)) return Fault::none;
    if (const Fault cause = interruption(); cause != Fault::none) return cause;
    if (turn == Turn::pending) {
        const auto step = keep_waiting(wait, now);
        fault = step.fault;
        if (fault == Fault::none) return std::nullopt;
        cut_short_ = step.why == Patience::Why::deadline && attempt_->dial;
        if (step.why == Patience::Why::deadline || is_final(fault)) return fault;
    }
    if (!hedge_) return fault;
    promote_hedge(fault, status);
    wait.patience = Patience{};
    wait.silence.leave();
    waited_.lap(now);
    return take_turns(wait);  // of the hedge, which is alone from now on
}

/// Whether the client, which is the one awaited, sends its body too slowly. The upload's pace says when to look again.
bool Exchange::body_is_too_slow(loop::TimePoint now) noexcept {
    const auto& limits = config_->limits;
    return attempt_->upload.pace.is_too_slow(now, bytes_.in, limits.body_timeout, limits.body_rate);
}

/// An extended CONNECT takes any 2xx for a tunnel (RFC 8441 section 5), and a key of ours needs its proper answer.
bool Exchange::misleading_success() const {
    if (!request_.extended_connect) return false;
    const auto& head = attempt_->head();
    if (!switched()) return head.status < 300;
    if (websocket_key_.empty()) return false;
    const std::string wanted = message::websocket_accept(websocket_key_);
    return std::none_of(head.fields.begin(), head.fields.end(), [&](const wire::Field& field) {
        return wire::equal_ignoring_case(field.name, "sec-websocket-accept") && field.value == wanted;
    });
}

}  // namespace nearhop::exchange
