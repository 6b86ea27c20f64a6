#include "proxy/exchange/exchange.h"

#include "proxy/exchange/viewer.h"
#include "proxy/steering/explain.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace nearhop::exchange {

using loop::Io;
using loop::TimePoint;
using steering::Considered;

namespace {

constexpr std::size_t most_discarded = 16 * 1024;
constexpr std::uint64_t fair_share = 512 * 1024;  // relayed in one turn, while other sessions wait

bool gateway_status(unsigned status) noexcept { return status == 502 || status == 503 || status == 504; }

double milliseconds_of(loop::Clock::duration time) noexcept {
    return std::chrono::duration<double, std::milli>{time}.count();
}

}  // namespace

Exchange::Exchange(Context& context, loop::Wake& wake, Codec& client, const Request& request, const Peer& peer)
    : context_{context},
      wake_{wake},
      client_{client},
      request_{request},
      peer_{peer},
      timer_{context.loop, wake},
      replay_{context} {}

Exchange::~Exchange() {
    if (attempt_) context_.recycle(std::move(attempt_));
    if (parked_) context_.recycle(std::move(parked_));
}

loop::Task<Outcome> Exchange::run() {
    began_ = context_.loop.now();
    context_.counters.exchanges_started.add();
    locate();
    Fault fault = Fault::client_unknown_host;
    if (decide()) {
        state_->budget->on_request(began_);
        fault = co_await offer();
        if (fault != Fault::none && parked_ && info(fault).side != Side::client) {
            attempt_ = std::move(parked_);  // somebody did answer: that is forwarded, not an error of ours
            fault = Fault::none;
        }
        if (parked_) discard(std::move(parked_));
        if (fault == Fault::none) fault = co_await relay();
    }
    if (fault != Fault::none && !response_started_) answer(fault);
    outcome_.fault = fault;
    record();
    co_return outcome_;
}

/// Steps 1 and 2 of the decision: who and where.
void Exchange::locate() {
    snapshot_ = context_.snapshot();
    bound_ = context_.bound();
    config_ = &bound_->routing->config;
    const auto& trust = bound_->routing->trust;

    steering::ViewerFields viewer;
    std::array<std::string_view, 8> secrets{};
    const auto secret_headers = trust.secret_headers();
    bool trusted = false;
    if (!trust.empty()) {
        for (const auto& field : request_.fields)
            for (std::size_t i = 0; i < secret_headers.size() && i < secrets.size(); ++i)
                if (wire::equal_ignoring_case(field.name, secret_headers[i])) secrets[i] = field.value;
        trusted = trust.trusts(peer_.address, {secrets.data(), std::min(secrets.size(), secret_headers.size())});
    }
    if (trusted) viewer = viewer_fields(request_.fields);
    located_ = steering::locate(peer_.address, trusted, viewer, trust, *snapshot_->locator);
    auto& counters = context_.counters;
    counters.located[static_cast<std::size_t>(located_.place.source)][static_cast<std::size_t>(located_.place.level)]
        .add();
    if (located_.bad_viewer_field) counters.viewer_fields_bad.add();
    if (located_.disagreement) counters.viewer_country_disagreed.add();

    forwarding_.peer = peer_.address;
    forwarding_.trusted = trusted;
    forwarding_.secret_headers = secret_headers;
    choose_request_id();
    forwarding_.request_id = id_;
}

void Exchange::choose_request_id() {
    if (forwarding_.trusted) {
        for (const auto& field : request_.fields) {
            if (field.id != wire::Name::x_request_id || field.value.empty() || field.value.size() > 128) continue;
            const bool plain = std::all_of(field.value.begin(), field.value.end(), [](char c) {
                return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                       c == '_' || c == '.';
            });
            if (plain) {
                id_ = field.value;
                return;
            }
        }
    }
    static constexpr char digits[] = "0123456789abcdef";
    for (std::size_t half = 0; half < 2; ++half) {
        auto bits = context_.dice.next();
        for (std::size_t i = 0; i < 16; ++i, bits >>= 4) id_buffer_[half * 16 + i] = digits[bits & 15];
    }
    id_ = {id_buffer_.data(), id_buffer_.size()};
}

/// Steps 3 to 7. False when no site serves the host.
bool Exchange::decide() {
    const auto& table = *bound_->routing->table;
    const auto site = table.site_of(request_.host);
    if (!site) return false;
    site_ = &table.sites[*site];
    state_ = &bound_->sites[*site];
    method_ = steering::method_class(request_.method);
    steering::decide({*site, request_.method, request_.path}, located_.place, table, *current().health,
                     context_.local_skips(*bound_->routing), decision_);
    limits_ = &site_->routes[decision_.route].limits;
    for (const auto& field : request_.fields)
        if (field.id == wire::Name::idempotency_key) idempotency_key_ = true;
    replay_.begin(request_.framing, limits_->replay_buffer, config_->limits.replay_total);
    return true;
}

/// The latest verdicts and addresses, as long as they count in the configuration that this exchange began with.
const Snapshot& Exchange::current() {
    const auto& latest = context_.snapshot();
    return latest->routing == bound_->routing ? *latest : *snapshot_;
}

/// The first candidate that was not tried; verdicts are read again, since they may have changed meanwhile.
const Considered* Exchange::next_candidate() {
    if (attempts_ != 0) {
        const auto& table = *bound_->routing->table;
        steering::decide({decision_.site, request_.method, request_.path}, located_.place, table, *current().health,
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
            attempt_->begin(std::move(idle), request_.method, limits);
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
    attempt_->begin(dial.take(), request_.method, limits);
    context_.report_dialled(*bound_, candidate.id, attempt_->connection->address);
    co_return Fault::none;
}

/// Sends the request and waits for the response head.
loop::Task<Fault> Exchange::await_head() {
    Attempt& attempt = *attempt_;
    const OriginInfo& origin = bound_->routing->origins[attempt.candidate.id];
    write_request_head(request_, forwarding_, *site_, origin, attempt.staging());
    auto since = context_.loop.now();
    auto client_progress = since;
    std::uint64_t body_seen = bytes_in_;
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
                co_return Fault::none;
            case Attempt::Progress::failed: waited_ += context_.loop.now() - since; co_return attempt.fault();
            case Attempt::Progress::pending: break;
        }
        if (client_.gone()) co_return Fault::client_gone;

        const auto now = context_.loop.now();
        if (bytes_in_ != body_seen) {
            body_seen = bytes_in_;
            client_progress = now;
        }
        if (attempt.waits_for_client()) {
            // The client's own slowness costs nobody's deadline.
            since = now;
            const auto due = client_progress + config_->limits.body_timeout;
            if (now >= due) co_return Fault::client_body_timeout;
            timer_.expires_at(due);
        } else {
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

void Exchange::start_response() {
    const auto& head = attempt_->head();
    std::string extra;
    if (site_->decision_header) {
        extra = "X-Nearhop-Decision: ";
        steering::append_decision_field(extra, *bound_->routing->table, attempt_->candidate, located_.place, attempts_);
        extra += "\r\n";
    }
    if (site_->server_timing) {
        char line[128];
        const int size = std::snprintf(
            line, sizeof line, "Server-Timing: edge;dur=%.1f, connect;dur=%.1f, origin;dur=%.1f\r\n",
            milliseconds_of(first_attempt_ - began_), milliseconds_of(connect_time_), milliseconds_of(head_time_));
        extra.append(line, static_cast<std::size_t>(std::max(size, 0)));
    }
    client_.start({.status = head.status,
                   .reason = head.reason,
                   .fields = head.fields,
                   .extra = extra,
                   .framing = attempt_->framing(),
                   .bodyless = request_.method == "HEAD" || head.status == 204 || head.status == 304,
                   .close = false});
    response_started_ = relayed_ = true;
    outcome_.status = head.status;
}

/// Carries the response to the client, and the rest of the request body to the origin, until the response is whole.
loop::Task<Fault> Exchange::relay() {
    Attempt& attempt = *attempt_;
    start_response();
    auto progress = context_.loop.now();
    std::uint64_t turn_began = 0;
    bool clean = true;  // nothing came on the connection that makes its next answer doubtful
    for (;;) {
        // A fast origin and a fast client together would never have to wait.
        if (bytes_out_ - turn_began >= fair_share) {
            co_await wake_.yield();
            turn_began = bytes_out_;
        }
        bool moved = false;
        bool complete = false;
        bool client_blocks = false;
        while (!complete && client_.unsent() < wire::Stream::high_water) {
            std::string_view bytes;
            const auto body = attempt.body(bytes);
            if (body == Attempt::Body::pending) break;
            if (body == Attempt::Body::failed) {
                client_.flush();
                client_.abort();
                co_return attempt.fault();
            }
            if (body == Attempt::Body::complete) {
                std::string trailers;
                if (!filter_trailers(attempt.trailers(), trailers)) {
                    trailers.clear();
                    clean = false;
                }
                client_.finish(trailers);
                complete = true;
                break;
            }
            const std::size_t taken = client_.write(bytes);
            client_blocks = taken == 0;
            if (client_blocks) break;
            attempt.consume_body(taken);
            bytes_out_ += taken;
            moved = true;
        }
        const std::size_t queued = client_.unsent();
        if (client_.flush() == Io::failed) {
            client_.abort();
            co_return Fault::client_gone;
        }
        if (complete) break;
        moved = moved || client_.unsent() < queued;
        if (!attempt.request_complete()) {
            const Fault fault = attempt.pump(client_, request_, replay_, limits_->body_limit, bytes_in_);
            if (fault != Fault::none) {
                client_.abort();
                co_return fault;
            }
        }
        client_blocks = client_blocks || client_.unsent() >= wire::Stream::high_water;
        if (client_.unsent() < wire::Stream::high_water && queued >= wire::Stream::high_water) continue;
        if (client_.gone()) {
            client_.abort();
            co_return Fault::client_gone;
        }
        const auto now = context_.loop.now();
        if (moved) progress = now;
        const auto due =
            progress + (client_blocks ? config_->limits.write_timeout : config_->limits.origin_body_timeout);
        if (now >= due) {
            client_.abort();
            co_return client_blocks ? Fault::client_write_timeout : Fault::origin_body_timeout;
        }
        timer_.expires_at(due);
        co_await wake_.wait();
        turn_began = bytes_out_;
    }
    outcome_.response_complete = true;
    if (clean && attempt.reusable()) bound_->pools[attempt.candidate.id]->keep(std::move(attempt.connection));
    co_return Fault::none;
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
        pool.ok.add();
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

void Exchange::answer(Fault fault) {
    if (fault == Fault::client_gone || fault == Fault::client_write_timeout) {
        client_.abort();
        return;
    }
    std::string_view accept;
    for (const auto& field : request_.fields)
        if (field.id == wire::Name::accept) accept = field.value;
    const auto own = answer_for(fault, accept, id_);
    send(client_, own, request_.method == "HEAD");
    if (request_.method != "HEAD") bytes_out_ += own.body.size();
    response_started_ = true;
    outcome_.status = own.status;
    outcome_.response_complete = true;
    if (state_) state_->counters->own_answers[static_cast<std::size_t>(fault)].add();
}

void Exchange::record() {
    const auto took = context_.loop.now() - began_;
    auto& counters = context_.counters;
    if (outcome_.fault != Fault::none) counters.faults[static_cast<std::size_t>(outcome_.fault)].add();
    const Considered* candidate = attempt_ ? &attempt_->candidate : nullptr;
    if (relayed_) {
        auto& origin = *state_->origins[candidate->id];
        origin.requests[static_cast<std::size_t>(candidate->reason)][outcome_.status / 100].add();
        origin.duration.observe_microseconds(
            static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
    }
    counters.exchanges_finished.add();
    if (!context_.log) return;
    run::AccessRecord line;
    line.time = std::chrono::system_clock::now();
    line.id = id_;
    line.client = located_.client;
    line.method = request_.method;
    line.host = request_.host;
    line.path = request_.target;
    line.protocol_minor = request_.http10 ? 0 : 1;
    line.status = outcome_.status;
    if (site_) line.site = site_->name;
    if (candidate) {
        line.origin = bound_->routing->origins[candidate->id].name;
        line.reason = candidate->reason;
        line.has_reason = true;
    }
    line.place = located_.place;
    line.attempts = attempts_;
    line.fault = outcome_.fault;
    line.bytes_in = bytes_in_;
    line.bytes_out = bytes_out_;
    line.edge_ms = attempts_ ? milliseconds_of(first_attempt_ - began_) : milliseconds_of(took);
    line.connect_ms = milliseconds_of(connect_time_);
    line.origin_ms = milliseconds_of(head_time_);
    line.total_ms = milliseconds_of(took);
    context_.log->write(line);
}

}  // namespace nearhop::exchange
