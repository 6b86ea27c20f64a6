#include "proxy/exchange/exchange.h"
#include "proxy/origin/server_name.h"

#include <utility>

/// How an attempt gets its connection, and what a dial tells of its origin.
namespace nearhop::exchange {

/// Gives the attempt an idle connection, or begins to dial. Nothing of the request is sent here.
void Exchange::begin_connect(Attempt& attempt, bool fresh) {
    const auto id = attempt.candidate.id;
    origin::Pool& pool = *bound_->pools[id];
    const shared::OriginInfo& origin = bound_->routing->origins[id];
    attempt.began_at = context_.loop.now();
    attempt.trial = context_.begin_trial(*bound_, id);
    const auto announcement = origin.proxy_protocol ? this->announcement() : origin::Announcement{};
    auto server_name = origin::followed_name(origin, message::host_sent(request_, *site_, origin));
    if (!fresh) {
        if (auto idle = pool.take(announcement, server_name)) {
            idle->stream.socket().notify_to(wake_);
            attempt.open(std::move(idle), config_->limits);
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

/// The dial is over, `fault` says how: reports what it learnt, and gives the attempt its connection.
void Exchange::end_dial(Attempt& attempt, Fault fault) {
    const auto id = attempt.candidate.id;
    const auto dial = std::move(attempt.dial);
    out_of_ports_ = dial->is_out_of_ports();
    for (const auto& failure : dial->failures())
        if (is_to_blame(attempt, failure.fault))
            context_.report({bound_->routing, id, health::Passive::connect_failed, info(failure.fault).reason,
                             std::string{failure.address}});
    if (fault != Fault::none) {
        if (is_to_blame(attempt, fault) && !cut_short_) context_.skip(*bound_, id);
        return;
    }
    attempt.open(dial->take(), config_->limits);
    context_.report_dialled(*bound_, id, attempt.channel->address());
}

/// Where clients choose the name that a connection is secured by, they would choose which origin fails: of a handshake
/// it is probes alone that count.
bool Exchange::is_to_blame(const Attempt& attempt, Fault fault) const noexcept {
    const bool is_of_name = fault == Fault::origin_tls || fault == Fault::origin_certificate;
    return info(fault).side == account::Side::origin && !(is_of_name && origin_of(attempt).follows_host);
}

/// Writes the request's head, unless another request with the same Idempotency-Key was faster and went elsewhere.
bool Exchange::begin_sending(Attempt& attempt) {
    if (!course_.sends(attempt.candidate)) return false;
    attempt.channel->send_head({request_, forwarding_, *site_, origin_of(attempt)});
    return true;
}

}  // namespace nearhop::exchange
