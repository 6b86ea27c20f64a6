#include "proxy/exchange/exchange.h"
#include "proxy/exchange/forwarded.h"
#include "proxy/exchange/location.h"
#include "proxy/exchange/tunnel.h"
#include "proxy/steering/explain.h"

#include <algorithm>
#include <cstdio>
#include <utility>

/// The part of an exchange that follows a response head: the body, or a tunnel.
namespace nearhop::exchange {

using loop::Io;

namespace {

constexpr std::uint64_t fair_share = 512 * 1024;  // relayed in one turn, while other sessions wait

}  // namespace

/// The fields that a site asks for on its responses.
void Exchange::append_own_fields(std::string& out) const {
    if (site_->decision_header) {
        out += "X-Nearhop-Decision: ";
        steering::append_decision_field(out, *bound_->routing->table, attempt_->candidate, located_.place,
                                        course_.attempts(), {first_.id, passed_over()});
        out += "\r\n";
    }
    if (site_->server_timing) {
        char line[128];
        const int size = std::snprintf(
            line, sizeof line, "Server-Timing: edge;dur=%.1f, connect;dur=%.1f, origin;dur=%.1f\r\n",
            milliseconds_of(first_attempt_ - began_), milliseconds_of(connect_time_), milliseconds_of(head_time_));
        out.append(line, static_cast<std::size_t>(std::max(size, 0)));
    }
    if (site_->via_header) out += attempt_->head().minor == 0 ? "Via: 1.0 nearhop\r\n" : "Via: 1.1 nearhop\r\n";
}

/// What the origin says of the name that it was asked by, in the client's own.
void Exchange::mend_locations() {
    if (site_->host_header == "client") return;
    const auto asked = host_sent(request_, *site_, origin_of(*attempt_));
    if (wire::equal_ignoring_case(asked, request_.authority)) return;
    const bool secure = wire::equal_ignoring_case(client_proto(request_, forwarding_), "https");
    attempt_->mend_fields([&](const wire::Field& field) {
        const bool locates = wire::equal_ignoring_case(field.name, "location") ||
                             wire::equal_ignoring_case(field.name, "content-location");
        return locates ? mended_location(field.value, asked, request_.authority, secure) : std::string{};
    });
}

/// `own` holds our fields for as long as the result is used.
ResponseStart Exchange::response_start(std::string& own) {
    const auto& head = attempt_->head();
    const bool dated = std::any_of(head.fields.begin(), head.fields.end(),
                                   [](const wire::Field& field) { return field.id == wire::Name::date; });
    // RFC 9110 section 6.6.1: an answer without a date gets the time at which it was received.
    std::string_view extra = dated ? std::string_view{} : context_.date();
    if (site_->decision_header || site_->server_timing || site_->via_header) {
        own = extra;
        append_own_fields(own);
        extra = own;
    }
    return {.status = head.status,
            .reason = head.reason,
            .fields = head.fields,
            .extra = extra,
            .framing = attempt_->framing(),
            .bodyless = request_.method == "HEAD" || head.status == 204 || head.status == 304,
            .close = false};
}

/// Carries the response to the client, and the rest of the request body to the origin, until the response is whole.
loop::Task<Fault> Exchange::relay() {
    Attempt& attempt = *attempt_;
    // While the head came; perhaps with an answer of the edge's that says something else.
    if (client_.gone()) co_return client_.why_gone();
    mend_locations();
    {
        std::string own;
        client_.start(response_start(own));
    }
    response_started_ = relayed_ = true;
    outcome_.status = attempt.head().status;
    auto progress = context_.loop.now();
    std::uint64_t turn_began = 0;
    ReaderPace& reader = client_.reader();
    std::uint64_t delivered = 0;
    const auto& origin = attempt.connection->stream;
    std::uint64_t uploaded = origin.sent;
    Silence& silence = times_of(attempt).silence;
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
        // Its end goes with its last bytes: HTTP/2 would send it later only where the client has opened its window.
        while (!complete && (client_.unsent() < wire::Stream::high_water || attempt.body_read())) {
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
                const TrailerRules rules{
                    .agent_header = bound_->routing->origins[attempt.candidate.id].agent_header,
                    .keep_underscores = true,
                };
                if (!filter_trailers(attempt.trailers(), attempt.head().fields, rules, trailers)) {
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
            silence.heard(context_.loop.now());
        }
        if (complete && sends_apart()) co_await wake_.yield_if_crowded();
        const std::size_t queued = client_.unsent();
        if (client_.flush() == Io::failed) {
            client_.abort();
            co_return client_.why_gone();
        }
        if (complete) break;
        // Not what this flush took: HTTP/2 sends between turns, and plain HTTP/1.1 as it writes.
        const std::uint64_t so_far = bytes_out_ - std::min<std::uint64_t>(bytes_out_, client_.unsent());
        moved = moved || so_far > delivered;
        delivered =
            std::max(delivered, so_far);  // what is queued may count for more than its body: records, chunk heads
        if (!attempt.request_complete() || origin.unsent() != 0) {
            const Fault fault =
                attempt.pump(client_, request_, trailer_rules(attempt), replay_, limits_->body_limit, bytes_in_);
            if (fault != Fault::none) {
                client_.abort();
                co_return fault;
            }
        }
        client_blocks = client_blocks || client_.unsent() >= wire::Stream::high_water;
        if (client_.unsent() < wire::Stream::high_water && queued >= wire::Stream::high_water) continue;
        if (const Fault cause = interruption(); cause != Fault::none) {
            client_.abort();
            co_return cause;
        }
        const auto now = context_.loop.now();
        const auto& limits = config_->limits;
        // Who was answered without a 100 keeps the body back, and rightly so.
        const bool client_sends = !client_blocks && attempt.waits_for_client() && !awaits_continue();
        // An origin that answers early may well want the whole request before it goes on.
        const bool uploads = std::exchange(uploaded, origin.sent) != origin.sent;
        if (moved || uploads || client_sends) progress = now;
        // Nor does a client hold anybody up that listens to an answer on its way.
        if (!client_sends || moved) awaits_body_ = false;
        Fault late = Fault::none;
        auto due = progress + limits_->origin_body_timeout;
        reader.await(client_blocks, now);
        if (client_blocks) {
            if (reader.is_too_slow(now, [this] { return client_.taken(); })) late = Fault::client_write_timeout;
            due = reader.due();
        } else if (client_sends) {
            if (body_is_too_slow(now)) late = Fault::client_body_timeout;
            due = upload_.due(limits.body_timeout);
        } else if (now >= due) {
            late = Fault::origin_body_timeout;
        }
        if (late != Fault::none) {
            client_.abort();
            co_return late;
        }
        timer_.expires_at(due);
        co_await wake_.wait();
        turn_began = bytes_out_;
    }
    outcome_.response_complete = true;
    attempt.look_behind();
    if (clean && attempt.reusable()) bound_->pools[attempt.candidate.id]->keep(std::move(attempt.connection));
    co_return Fault::none;
}

/// After a 101: raw bytes both ways. The connection is never used for HTTP again.
loop::Task<Fault> Exchange::tunnel() {
    if (client_.gone()) co_return client_.why_gone();
    {
        std::string own;
        client_.start_tunnel(response_start(own), forwarding_.upgrade);
    }
    response_started_ = relayed_ = true;
    outcome_.status = 101;
    Tunnel tunnel{context_, wake_, timer_, client_, attempt_->connection->stream, {bytes_in_, bytes_out_}};
    const Fault fault = co_await tunnel.run(limits_->tunnel_idle);
    outcome_.response_complete = fault == Fault::none;
    co_return fault;
}

}  // namespace nearhop::exchange
