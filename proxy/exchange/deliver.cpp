#include "proxy/exchange/exchange.h"
#include "proxy/exchange/relay.h"
#include "proxy/exchange/tunnel.h"
#include "proxy/message/forwarded.h"
#include "proxy/message/location.h"
#include "proxy/steering/explain.h"

#include <algorithm>
#include <cstdio>
#include <utility>

/// The part of an exchange that follows a response head: the body, or a tunnel.
namespace nearhop::exchange {

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
        const int size =
            std::snprintf(line, sizeof line, "Server-Timing: edge;dur=%.1f, connect;dur=%.1f, origin;dur=%.1f\r\n",
                          milliseconds_of(times_.first_attempt - times_.began), milliseconds_of(times_.connecting),
                          milliseconds_of(times_.head));
        out.append(line, static_cast<std::size_t>(std::max(size, 0)));
    }
    if (site_->via_header) out += attempt_->head().minor == 0 ? "Via: 1.0 nearhop\r\n" : "Via: 1.1 nearhop\r\n";
}

/// What the origin says of the name that it was asked by, in the client's own.
void Exchange::rewrite_locations() {
    if (site_->host_header == "client") return;
    const auto asked = message::host_sent(request_, *site_, origin_of(*attempt_));
    if (wire::equal_ignoring_case(asked, request_.authority)) return;
    const bool secure = wire::equal_ignoring_case(message::client_proto(request_, forwarding_), "https");
    attempt_->channel->rewrite_fields([&](const wire::Field& field) {
        const bool locates = wire::equal_ignoring_case(field.name, "location") ||
                             wire::equal_ignoring_case(field.name, "content-location");
        return locates ? message::rewritten_location(field.value, asked, request_.authority, secure) : std::string{};
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
            .framing = attempt_->channel->framing(),
            .bodyless = request_.method == "HEAD" || head.status == 204 || head.status == 304,
            .close = false};
}

/// Begins the response, and returns what carries its body to the client, and the rest of the request's to the origin.
Relay Exchange::begin_relay() {
    rewrite_locations();
    {
        std::string own;
        client_.start(response_start(own));
    }
    response_started_ = relayed_ = true;
    Attempt& attempt = *attempt_;
    outcome_.status = attempt.head().status;
    return {{context_, wake_, timer_, client_},
            *attempt.channel,
            bytes_.out,
            {.body_timeout = limits_->origin_body_timeout,
             .limits = config_->limits,
             .sends_apart = sends_apart(),
             .agent_header = origin_of(attempt).agent_header},
            Relay::Origin{*attempt.channel, attempt.upload, upload_terms(attempt), times_of(attempt).silence,
                          request_.expects_continue && !continue_sent_}};
}

void Exchange::end_relay(const Relay& relay, Fault fault) {
    outcome_.response_complete = fault == Fault::none;
    if (fault == Fault::none) attempt_->channel->finish(relay.is_clean());
    note_body(fault);
    if (info(fault).side == account::Side::origin)
        state_->counters->not_moved[static_cast<std::size_t>(account::Stay::response_started)].add();
}

/// After a 101: raw bytes both ways. The connection is never used for HTTP again.
loop::Task<Fault> Exchange::tunnel() {
    note_body(Fault::none);  // how a tunnel ends is the application's own business
    {
        std::string own;
        client_.start_tunnel(response_start(own), forwarding_.upgrade);
    }
    response_started_ = relayed_ = true;
    outcome_.status = 101;
    Tunnel tunnel{context_, wake_, timer_, client_, *attempt_->channel, {bytes_.in, bytes_.out}};
    const Fault fault = co_await tunnel.run(limits_->tunnel_idle);
    outcome_.response_complete = fault == Fault::none;
    co_return fault;
}

}  // namespace nearhop::exchange
