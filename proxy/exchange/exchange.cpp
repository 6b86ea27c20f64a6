#include "proxy/exchange/exchange.h"

#include "proxy/account/logging.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

namespace nearhop::exchange {

using steering::Considered;
using wire::Deviation;

namespace {

std::uint64_t microseconds_of(loop::Clock::duration time) noexcept {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(time).count());
}

}  // namespace

Exchange::Exchange(Context& context, loop::Wake& wake, Codec& client, const message::Request& request, const Peer& peer)
    : context_{context},
      wake_{wake},
      client_{client},
      request_{request},
      peer_{peer},
      timer_{context.loop, wake},
      replay_{context.replay_bytes, context.counters.replay_bytes} {
    context_.begin_request();
}

Exchange::~Exchange() {
    // Destroyed before its end: the edge stops. What a tunnel or a long download did so far is still worth its line.
    if (!recorded_ && std::uncaught_exceptions() == 0) {
        outcome_.fault = Fault::edge_stopped;
        record();
    }
    context_.end_request();
    if (attempt_) context_.recycle(std::move(attempt_));
    if (hedge_) context_.recycle(std::move(hedge_));
    if (parked_) context_.recycle(std::move(parked_));
}

loop::Task<Outcome> Exchange::run() {
    times_.began = context_.loop.now();
    recorded_ = false;
    context_.counters.exchanges_started.add();
    Fault fault = Fault::edge_internal;
    try {
        fault = co_await carry();
    } catch (const std::exception& bug) {
        // Every accepted request gets an answer: a client may repeat a request without one, even a POST.
        account::log_error("exchange_failed",
                           {{"fault", "edge_internal"}, {"request", id_.text()}, {"what", bug.what()}});
        response_started_ = !client_.take_back();
        relayed_ = relayed_ && response_started_;
        if (response_started_)
            client_.abort();
        else
            bytes_.out = 0;
    }
    if (fault != Fault::none && !response_started_) answer(fault);
    outcome_.fault = fault;
    record();
    co_return outcome_;
}

/// The request's way to its answer, from who and where to the last byte. A fault may still have to be answered.
loop::Task<Fault> Exchange::carry() {
    locate();
    Fault fault = admit();
    if (fault == Fault::none && spent_) {
        send(client_, options_answer(), false, context_.date());
        response_started_ = outcome_.response_complete = true;
        outcome_.status = 200;
    } else if (fault == Fault::none) {
        state_->budget->on_request(times_.began);
        state_->counters->retry_tokens.set(static_cast<std::uint64_t>(state_->budget->tokens()));
        fault = co_await offer();
        fault = choose_answer(fault);
        let_go();
        if (fault != Fault::none) co_return fault;
        if (client_.gone()) {  // while the head came; perhaps with an answer of the edge's that says something else
            fault = client_.why_gone();
            note_body(fault);
        } else if (switched()) {
            fault = co_await tunnel();
        } else {
            Relay relay = begin_relay();
            fault = co_await relay.run();
            end_relay(relay, fault);
        }
    }
    co_return fault;
}

/// Among what origins have answered: the last one's answer, or one that was parked while others were asked.
Fault Exchange::choose_answer(Fault fault) {
    if (fault == Fault::none && got_421()) fault = give_up_421();
    if (fault != Fault::none && parked_ && !is_final(fault)) {
        attempt_ = std::move(parked_);  // somebody did answer: that is forwarded, not an error of ours
        fault = got_421() ? give_up_421() : Fault::none;
        // What another origin has read of the body is no longer there to be sent.
        if (fault == Fault::none && !attempt_->upload.complete() && !replay_.whole()) attempt_->upload.stop();
    }
    if (parked_) discard(std::move(parked_));
    return fault;
}

/// No further origin is asked, and a relayed answer may last for days: the databases of that time need not.
void Exchange::let_go() noexcept {
    if (!forwarding_.secret_headers.empty()) trust_ = snapshot_->trust;  // trailers are still judged by them
    snapshot_.reset();
}

/// The latest verdicts and addresses, as long as they count in the configuration that this exchange began with.
/// Not after let_go().
const shared::Snapshot& Exchange::current() {
    const auto& latest = context_.snapshot();
    return latest->routing == bound_->routing ? *latest : *snapshot_;
}

void Exchange::answer(Fault fault) {
    // By nghttp2, for a body that contradicts its head; or else the edge has told the fault as it ended the connection.
    const bool reset = request_.protocol == message::Protocol::http2 && client_.gone() && client_.why_gone() != fault;
    if (fault == Fault::client_gone || fault == Fault::client_write_timeout || reset) {
        client_.abort();
        return;
    }
    std::string_view accept;
    for (const auto& field : request_.fields)
        if (field.id == wire::Name::accept) accept = field.value;
    const auto own = answer_for(fault, accept, id_.text(), retry_after_);
    send(client_, own, request_.method == "HEAD", context_.date());
    if (request_.method != "HEAD") bytes_.out += own.body.size();
    response_started_ = true;
    outcome_.status = own.status;
    outcome_.response_complete = true;
    if (state_) state_->counters->own_answers[static_cast<std::size_t>(fault)].add();
}

/// Why another origin than the policy's first choice answered, or none; empty: it was the first choice.
std::optional<steering::Reason> Exchange::passed_over() const {
    return steering::passed_over(first_, course_.earlier(), attempt_ ? &attempt_->candidate : nullptr);
}

void Exchange::count_first_choice() {
    const auto why = passed_over();
    if (!why || times_.first_attempt == loop::TimePoint{}) return;  // it was never offered
    const auto at = static_cast<std::size_t>(*why);
    state_->origins[first_.id]->passed_over[at].add();
    if (relayed_) state_->origins[attempt_->candidate.id]->stood_in[at].add();
}

void Exchange::record() {
    recorded_ = true;
    const auto took = context_.loop.now() - times_.began;
    auto& counters = context_.counters;
    if (outcome_.fault != Fault::none) counters.faults[static_cast<std::size_t>(outcome_.fault)].add();
    const Considered* candidate = attempt_ ? &attempt_->candidate : nullptr;
    if (relayed_) {
        auto& origin = *state_->origins[candidate->id];
        origin.requests[static_cast<std::size_t>(candidate->reason)][outcome_.status / 100].add();
        if (outcome_.status != 101) origin.duration.observe_microseconds(microseconds_of(took));
    }
    count_first_choice();
    if (course_.has_moved()) {
        const bool answered = relayed_ && outcome_.status < 500;
        const auto what = info(outcome_.fault).side == account::Side::client ? account::Moved::client_gone
                          : answered                                         ? account::Moved::answered
                                                                             : account::Moved::failed;
        state_->counters->moved[static_cast<std::size_t>(what)].add();
    }
    counters.exchanges_finished.add();
    if (!context_.log) return;
    account::AccessRecord line;
    line.time = std::chrono::system_clock::now();
    line.id = id_.text();
    line.client = located_.client;
    line.method = message::method_in_log(request_);
    line.host = request_.host;
    line.path = request_.target;
    if (config_) line.query = &config_->log.query;
    line.protocol = name(request_.protocol);
    // What the client got: the origin's 101 is a 200 to an extended CONNECT (RFC 8441 section 5).
    const bool tunnelled = outcome_.status == 101;
    line.status = tunnelled && request_.extended_connect ? 200 : outcome_.status;
    if (tunnelled) line.upgrade = forwarding_.upgrade;
    if (site_) line.site = site_->name;
    if (candidate) {
        line.origin = bound_->routing->origins[candidate->id].name;
        line.reason = candidate->reason;
        line.has_reason = true;
    }
    if (decision_.considered_count != 0) {
        line.first_choice = bound_->routing->origins[first_.id].name;
        line.passed_over = passed_over();
    }
    line.place = located_.place;
    line.attempts = course_.attempts();
    line.fault = outcome_.fault;
    line.deviation = std::max({client_.deviations().worst(), deviations_.worst(),
                               attempt_ ? attempt_->deviations().worst() : Deviation::none});
    line.bytes_in = bytes_.in;
    line.bytes_out = bytes_.out;
    line.edge_ms = course_.attempts() ? milliseconds_of(times_.first_attempt - times_.began) : milliseconds_of(took);
    line.connect_ms = milliseconds_of(times_.connecting);
    line.origin_ms = milliseconds_of(times_.head);
    line.total_ms = milliseconds_of(took);
    context_.log->write(line);
}

}  // namespace nearhop::exchange
