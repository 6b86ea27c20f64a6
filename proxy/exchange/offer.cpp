#include "proxy/exchange/exchange.h"
#include "proxy/exchange/least_rate.h"

#include <algorithm>
#include <utility>

/// The part of an exchange that ends with a response head: candidates, connections, what may be tried again.
namespace nearhop::exchange {

using loop::Io;
using steering::Considered;

namespace {

constexpr std::size_t most_discarded = 16 * 1024;

bool gateway_status(unsigned status) noexcept { return status == 502 || status == 503 || status == 504; }

}  // namespace

/// The first candidate that was not tried; verdicts are read again, since they may have changed meanwhile.
const Considered* Exchange::next_candidate() {
    if (attempts_ != 0) {
        const auto& table = *bound_->routing->table;
        steering::decide({decision_.site, request_.method, path()}, located_.place, table, *current().health,
                         context_.local_skips(*bound_->routing), decision_);
    }
    for (const auto& candidate : decision_.chosen())
        if (!tried_.test(candidate.id)) return &candidate;
    return nullptr;
}

bool Exchange::another_candidate() {
    const auto& chosen = decision_.chosen();
    return std::any_of(chosen.begin(), chosen.end(), [&](const Considered& candidate) {
        return !tried_.test(candidate.id) && candidate.id != attempt_->candidate.id;
    });
}

/// Offers the request to the candidates in order until one answers; `none` leaves the answer in attempt_.
loop::Task<Fault> Exchange::offer() {
    const auto& failover = config_->failover;
    if (limits_->body_limit != 0 && request_.framing.length > limits_->body_limit)
        co_return Fault::client_body_too_large;
    if (request_.extended_connect && forwarding_.upgrade.empty()) co_return Fault::client_upgrade_refused;
    first_attempt_ = context_.loop.now();
    Fault last = Fault::no_origin;
    bool fresh = false;
    const Considered* candidate = next_candidate();
    while (candidate) {
        if (attempt_) context_.recycle(std::move(attempt_));
        attempt_ = context_.fresh_attempt();
        attempt_->candidate = *candidate;
        ++attempts_;
        Fault fault = co_await connect(attempt_->candidate, fresh);
        if (fault == Fault::none) {
            sent_to_.set(attempt_->candidate.id);
            fault = co_await await_head();
        }
        if (info(fault).side == Side::client || fault == Fault::edge_overloaded) co_return fault;
        const bool sent = attempt_->connection != nullptr;
        const unsigned status = fault == Fault::none ? attempt_->head().status : 0;
        count_attempt(fault);
        note_passive(fault, status);
        if (fault == Fault::none && !gateway_status(status) && status != 421) co_return fault;
        last = fault;

        // Whether it may go on elsewhere. The answer at hand is forwarded as it is when nothing better can be had.
        const Move move = move_after(fault, status);
        const auto stay = [&](admin::Stay why) {
            state_->counters->not_moved[static_cast<std::size_t>(why)].add();
            return fault;
        };
        if (move == Move::no) co_return stay(replay_.whole() ? admin::Stay::method : admin::Stay::body);
        if (!failover.enabled) co_return stay(admin::Stay::disabled);
        if (time_left() <= loop::Clock::duration::zero()) co_return stay(admin::Stay::deadline);
        const geo::OriginId from = attempt_->candidate.id;
        if (move == Move::next_origin) {
            tried_.set(from);
            if (sent && sent_to_.count() >= failover.sent_candidates) co_return stay(admin::Stay::candidates);
            if (tried_.count() >= failover.connect_candidates) co_return stay(admin::Stay::candidates);
            candidate = next_candidate();
            if (!candidate) co_return stay(admin::Stay::candidates);
        } else {
            same_origin_tried_ = true;
        }
        // A stale connection proves that nothing was processed on it as little as a reset does, but one fresh try at
        // the same origin adds no load that the client did not cause: it is free, moves after sending are not.
        if (sent && move == Move::next_origin && !state_->budget->take()) co_return stay(admin::Stay::budget);
        fresh = move == Move::same_origin;
        if (fault == Fault::none) parked_ = std::move(attempt_);
        if (move == Move::next_origin) {
            state_->origins[from]->moved_away.add();
            if (attempts_ >= 2) {
                const Fault left = co_await back_off();
                if (left != Fault::none) co_return left;
            }
        }
    }
    co_return last;
}

Move Exchange::move_after(Fault fault, unsigned status) const noexcept {
    const bool sent = attempt_->connection != nullptr;
    const Move move = may_move({.method = method_,
                                .idempotency_key = idempotency_key_,
                                .body_replayable = replay_.whole(),
                                .request_sent = sent,
                                .reused_connection = fault == Fault::origin_stale,
                                .same_origin_tried = same_origin_tried_,
                                .status = status});
    // Asking an origin again that did not answer in time only takes longer.
    return fault == Fault::origin_head_timeout && move == Move::same_origin ? Move::no : move;
}

/// The first move is made at once; later ones wait a random moment, so that many exchanges do not knock in step.
loop::Task<Fault> Exchange::back_off() {
    const auto& failover = config_->failover;
    const auto ceiling = std::min(failover.backoff * (1u << std::min(attempts_ - 2, 8u)), failover.backoff_max);
    const auto began = context_.loop.now();
    const auto until = began + std::chrono::duration_cast<loop::milliseconds>(ceiling * context_.dice.fraction());
    while (context_.loop.now() < until) {
        if (client_.gone()) co_return Fault::client_gone;
        timer_.expires_at(until);
        co_await wake_.wait();
    }
    waited_ += context_.loop.now() - began;
    co_return Fault::none;
}

/// Gives attempt_ a connection, kept-alive or new. Nothing of the request is sent here.
loop::Task<Fault> Exchange::connect(const Considered& candidate, bool fresh) {
    const auto& limits = config_->limits;
    origin::Pool& pool = *bound_->pools[candidate.id];
    if (!fresh) {
        if (auto idle = pool.take()) {
            idle->stream.socket().notify_to(wake_);
            attempt_->begin(std::move(idle), request_.method, limits, forwarding_.upgrade);
            co_return Fault::none;
        }
    }
    const auto began = context_.loop.now();
    const OriginInfo& origin = bound_->routing->origins[candidate.id];
    origin::Dial dial{pool, origin, current().addresses, candidate.id, config_->failover, wake_};
    auto step = dial.step();
    Fault fault = Fault::none;
    while (step == origin::Dial::Step::pending) {
        if (client_.gone()) {
            fault = Fault::client_gone;
            break;
        }
        if (context_.loop.now() - began >= time_left()) {
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
    for (const auto& failure : dial.failures())
        if (info(failure.fault).side == Side::origin)
            context_.report({bound_->routing, candidate.id, health::Passive::connect_failed, info(failure.fault).reason,
                             std::string{failure.address}});
    if (fault != Fault::none) {
        if (info(fault).side == Side::origin) context_.skip(bound_->routing, candidate.id);
        co_return fault;
    }
    attempt_->begin(dial.take(), request_.method, limits, forwarding_.upgrade);
    context_.report_dialled(*bound_, candidate.id, attempt_->connection->address);
    co_return Fault::none;
}

/// Sends the request and waits for the response head.
loop::Task<Fault> Exchange::await_head() {
    Attempt& attempt = *attempt_;
    const OriginInfo& origin = bound_->routing->origins[attempt.candidate.id];
    write_request_head(request_, forwarding_, *site_, origin, attempt.staging());
    auto since = context_.loop.now();
    LeastRate upload;
    bool awaits_client = false;
    const bool could_move =
        config_->failover.enabled && sent_to_.count() < config_->failover.sent_candidates &&
        may_move({.method = method_, .body_replayable = replay_.whole(), .request_sent = true}) == Move::next_origin &&
        another_candidate() && state_->budget->tokens() >= 1;
    for (;;) {
        const Fault fault = attempt.pump(client_, request_, replay_, limits_->body_limit, bytes_in_);
        if (fault != Fault::none) co_return fault;
        switch (attempt.receive_head()) {
            case Attempt::Progress::interim: {
                const auto& head = attempt.head();
                const bool wanted = head.status != 100 || (request_.expects_continue && !continue_sent_);
                if (head.status == 100) continue_sent_ = true;
                if (wanted && client_.unsent() < wire::Stream::high_water) client_.interim(head.status, head.fields);
                if (client_.flush() == Io::failed) co_return Fault::client_gone;
                continue;
            }
            case Attempt::Progress::head:
                head_time_ = context_.loop.now() - std::max(since, attempt.sent_at);
                waited_ += context_.loop.now() - since;
                co_return misleading_success() ? Fault::origin_bad_response : Fault::none;
            case Attempt::Progress::failed: waited_ += context_.loop.now() - since; co_return attempt.fault();
            case Attempt::Progress::pending: break;
        }
        if (client_.gone()) co_return Fault::client_gone;

        const auto now = context_.loop.now();
        if (attempt.waits_for_client()) {
            // The client's own slowness costs nobody's deadline.
            since = now;
            if (!std::exchange(awaits_client, true)) upload.begin(now, bytes_in_);
            if (upload.is_too_slow(now, bytes_in_, config_->limits.body_timeout, config_->limits.body_rate))
                co_return Fault::client_body_timeout;
            timer_.expires_at(upload.due(config_->limits.body_timeout));
        } else {
            awaits_client = false;
            auto due = since + time_left();
            if (attempt.request_complete() && could_move && replay_.whole())
                due = std::min(due, attempt.sent_at + limits_->head_timeout);
            if (now >= due) {
                waited_ += now - since;
                co_return Fault::origin_head_timeout;
            }
            timer_.expires_at(due);
        }
        co_await wake_.wait();
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

/// A response that will not be forwarded: its connection is kept if what is left of it is here already.
void Exchange::discard(std::unique_ptr<Attempt> attempt) {
    std::size_t dropped = 0;
    std::string_view bytes;
    auto body = attempt->body(bytes);
    while (body == Attempt::Body::data && dropped <= most_discarded) {
        dropped += bytes.size();
        attempt->consume_body(bytes.size());
        body = attempt->body(bytes);
    }
    if (body == Attempt::Body::complete && attempt->reusable())
        bound_->pools[attempt->candidate.id]->keep(std::move(attempt->connection));
    context_.recycle(std::move(attempt));
}

void Exchange::count_attempt(Fault fault) {
    auto& counters = *state_->origins[attempt_->candidate.id];
    counters.attempts[static_cast<std::size_t>(fault)].add();
    if (fault == Fault::none)
        counters.head.observe_microseconds(
            static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(head_time_).count()));
}

/// What the attempt says of its origin's health. A stale connection says nothing; nor does a client that left.
void Exchange::note_passive(Fault fault, unsigned status) {
    const auto id = attempt_->candidate.id;
    auto& pool = bound_->pools[id]->counters();
    if (fault == Fault::none && !gateway_status(status)) {
        context_.report_ok(*bound_, id);
        return;
    }
    const auto reason = fault == Fault::none ? health::Reason::status : info(fault).reason;
    if (reason == health::Reason::none) return;
    pool.failed.add();
    const bool answered = fault == Fault::none || fault == Fault::origin_head_timeout;
    context_.report({bound_->routing,
                     id,
                     answered ? health::Passive::answered_failed : health::Passive::connect_failed,
                     reason,
                     {}});
}

/// A head alone is no success: an origin that cuts each of its answers short would otherwise pass for a good one.
void Exchange::note_body(Fault fault) {
    const auto id = attempt_->candidate.id;
    if (gateway_status(attempt_->head().status)) return;  // has counted as a failure already
    auto& pool = bound_->pools[id]->counters();
    if (info(fault).side != Side::origin) return pool.ok.add();
    pool.failed.add();
    context_.report({bound_->routing, id, health::Passive::answered_failed, info(fault).reason, {}});
}

}  // namespace nearhop::exchange
