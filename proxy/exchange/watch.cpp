#include "proxy/exchange/exchange.h"

#include <algorithm>
#include <utility>

/// What an exchange that waits for a response head watches meanwhile: whether its origin is silent, whether its path
/// stands, and whether there is anything left to wait for.
namespace nearhop::exchange {

using loop::Socket;
using loop::TimePoint;

namespace {

/// Once others lost their paths there, so that a request is not told later than it must be.
constexpr loop::milliseconds look_closely{20};

}  // namespace

/// Notes that attempt_ waits for its origin since then, and when to look whether all who wait there do so in vain. One
/// of the first few need not look, a later one does.
void Exchange::Watch::begin(Exchange& exchange, TimePoint since) {
    const auto& passive = exchange.config_->origins[exchange.attempt_->candidate.id].passive;
    look_at = ask_kernel_at = TimePoint::max();
    lost = acknowledged = asks = unanswered = false;
    vain_since = TimePoint::max();
    if (exchange.attempt_->connection)
        ask_kernel_at = since + std::max<loop::Clock::duration>(Socket::patience,
                                                                3 * exchange.times_of(*exchange.attempt_).heads.p99());
    if (!passive.enabled || passive.stall == passive.stall.zero()) return;
    // Whoever keeps a body back for a 100 is no witness: not every origin knows Expect.
    if (exchange.attempt_->connection && !exchange.attempt_->request_complete()) return;
    auto& times = exchange.times_of(*exchange.attempt_);
    waiting.join(times.silence, exchange.wake_, since);
    if (times.silence.may_be_found() && times.heads.known())
        look_at = since + times.silence.patience(passive.stall, times.heads);
}

void Exchange::Watch::end() noexcept {
    waiting.leave();
    look_at = ask_kernel_at = TimePoint::max();
}

bool Exchange::Watch::in_vain(Exchange& exchange, TimePoint now) {
    if (now >= look_at) {
        look_at = TimePoint::max();
        look(exchange, now);
    }
    if (!waiting.in_vain()) {
        vain_since = TimePoint::max();
        return false;
    }
    vain_since = std::min(vain_since, now);
    return true;
}

/// Whether the path of a request that waits longer than usual is lost. The kernel is asked only then, and no more once
/// the origin's has everything. From then on the request goes by what others learn of its address; where it cannot be
/// moved, its own path is asked as well, and a probe: it is told only when all of them say the same.
bool Exchange::Watch::path_lost(Exchange& exchange, TimePoint now) {
    if (lost || now < ask_kernel_at || !exchange.attempt_->connection) return lost;
    Attempt& attempt = *exchange.attempt_;
    const auto id = attempt.candidate.id;
    const auto& address = attempt.connection->address;
    auto& load = *exchange.bound_->loads[id];
    const bool others = load.lost.since(address, attempt.sent_at);
    ask_kernel_at = now + (asks && others ? look_closely : Socket::look_again);
    auto& socket = attempt.connection->stream.socket();
    if (!acknowledged || asks) {
        const auto delivery = socket.delivery();
        lost = delivery == Socket::Delivery::lost;
        unanswered = delivery == Socket::Delivery::unanswered;
        acknowledged = delivery == Socket::Delivery::acknowledged || unanswered;
    }
    if (lost) {
        exchange.lose_path(attempt);
        return true;
    }
    if (acknowledged && !asks && exchange.may_only_wait()) {
        asks = true;
        socket.ask_path(true);
    }
    if (asks && load.first_to_want_probe(attempt.sent_at, now)) exchange.context_.want_probe(*exchange.bound_, id);
    return others || exchange.bound_->pools[id]->doubted_since(address, attempt.sent_at);
}

/// Other requests must not meet the same path, and the verdict machine hears of it as of a dial that failed.
void Exchange::lose_path(Attempt& attempt) {
    const auto id = attempt.candidate.id;
    const auto& address = attempt.connection->address;
    bound_->pools[id]->lose(address);
    bound_->loads[id]->lost.note(address, attempt.sent_at);
    context_.report({bound_->routing, id, health::Passive::connect_failed, health::Reason::connect_timeout, address});
    const auto& addresses = current().addresses->by_origin;
    if (id < addresses.size() && addresses[id].size() == 1) context_.skip(bound_->routing, id);
}

/// A request that its origin is to answer now and that may not be asked elsewhere, although another origin would serve
/// its client's own next try. Where none would, waiting is all that can be done, and nothing else is worth knowing.
bool Exchange::may_only_wait() const {
    return config_->failover.enabled && attempt_->connection && is_asked() && !attempt_->answered_anything() &&
           course_.has_other() && !may_leave();
}

/// Whether to give up a request that may_only_wait(), although its deadline is not over: its origin is dead, not slow.
/// Either its path is lost, or another's to the same address is and its own gives no sign, or for the whole time that
/// an answer may take neither a request nor a probe was answered there.
bool Exchange::is_hopeless(const Watch& watch, TimePoint now) const {
    if (!may_only_wait()) return false;
    const Attempt& attempt = *attempt_;
    const auto& load = *bound_->loads[attempt.candidate.id];
    const auto age = now - attempt.sent_at;
    const auto& connect_timeout = config_->failover.connect_timeout;
    const bool late = age >= limits_->head_timeout;
    if (late || age >= connect_timeout) {
        if (watch.lost) return true;
        if (watch.unanswered && load.lost.since(attempt.connection->address, attempt.sent_at)) return true;
    }
    return late && watch.vain_since <= now - connect_timeout && !load.probe_passed_since(attempt.sent_at);
}

void Exchange::Watch::look(Exchange& exchange, TimePoint now) {
    const auto id = exchange.attempt_->candidate.id;
    auto& times = exchange.times_of(*exchange.attempt_);
    if (times.silence.found(now, exchange.config_->origins[id].passive.stall, times.heads))
        exchange.context_.stalled(*exchange.bound_, id);
}

}  // namespace nearhop::exchange
