#include "proxy/shared/capacity.h"

#include <algorithm>

namespace nearhop::shared {

using account::Refusal;

using What = AddressCounts::What;

namespace {

unsigned percent(std::uint64_t used, std::uint64_t most) noexcept {
    return most == 0 ? 0 : static_cast<unsigned>(std::min<std::uint64_t>(used * 100 / most, 1000));
}

}  // namespace

std::string_view name(Resource what) noexcept {
    switch (what) {
        case Resource::sessions: return "sessions";
        case Resource::requests: return "requests";
        case Resource::handshakes: return "handshakes";
        case Resource::descriptors: return "descriptors";
        case Resource::memory: return "memory";
    }
    return "";
}

void Capacity::set(const Most& most) noexcept {
    const auto put = [&](Resource what, std::uint64_t value) {
        most_[static_cast<std::size_t>(what)].store(value, std::memory_order_relaxed);
    };
    put(Resource::sessions, most.sessions);
    put(Resource::requests, most.requests);
    put(Resource::handshakes, most.handshakes);
    put(Resource::descriptors, most.descriptors);
    put(Resource::memory, most.memory);
    per_address_.store(most.sessions_per_address, std::memory_order_relaxed);
    handshake_rate_.store(static_cast<unsigned>(most.handshakes_per_second), std::memory_order_relaxed);
    const std::uint64_t finest = most.requests == 0 ? most.descriptors : std::min(most.requests, most.descriptors);
    step_.store(std::max<std::uint64_t>(1, finest / 128), std::memory_order_relaxed);
}

void Capacity::prepare(std::size_t addresses) {
    counts_ = std::make_unique<AddressCounts>(addresses);
    rates_ = std::make_unique<RateTable>(addresses);
}

std::uint64_t Capacity::used(Resource what) const noexcept {
    const auto of = [](const std::atomic<std::int64_t>& value) {
        return static_cast<std::uint64_t>(std::max<std::int64_t>(0, value.load(std::memory_order_relaxed)));
    };
    switch (what) {
        case Resource::sessions: return of(sessions_);
        case Resource::requests: return of(requests_);
        case Resource::handshakes: return of(handshakes_);
        case Resource::descriptors: return of(sessions_) + of(origin_connections_);
        case Resource::memory: return memory_.load(std::memory_order_relaxed);
    }
    return 0;
}

unsigned Capacity::load(Resource what) const noexcept { return percent(used(what), limit(what)); }

unsigned Capacity::request_load() const noexcept {
    return std::max({load(Resource::requests), load(Resource::descriptors), load(Resource::memory)});
}

Refusal Capacity::judge_address(const geo::Address& client, bool is_trusted) const noexcept {
    if (is_trusted) return Refusal::none;
    if (address_is_full(client)) return Refusal::address;
    const bool crowded =
        std::max({load(Resource::sessions), load(Resource::handshakes), request_load()}) >= busy_sessions_at;
    return crowded && counts_->is_busy(hash_(client), What::session, few_sessions) ? Refusal::busy_address
                                                                                   : Refusal::none;
}

Refusal Capacity::begin_session(const geo::Address& peer, bool is_trusted, bool with_handshake,
                                std::chrono::nanoseconds now) noexcept {
    if (load(Resource::sessions) >= 100) return Refusal::sessions;
    if (with_handshake && load(Resource::handshakes) >= 100) return Refusal::handshakes;
    if (request_load() >= all_sessions_at) return Refusal::overload;
    if (const Refusal why = judge_address(peer, is_trusted); why != Refusal::none) return why;
    if (with_handshake) {
        // A second's worth at most is owed, so the clock of another rate may as well begin again.
        const unsigned rate = handshake_rate_.load(std::memory_order_relaxed);
        const Pace pace = Pace::of(rate, std::chrono::seconds{1}, rate);
        if (pace.limits() && !handshake_bucket_.take(pace, now).allowed) return Refusal::handshake_rate;
    }
    // Two workers may have judged by the same figure: the one that made it too many steps back.
    const auto before = static_cast<std::uint64_t>(sessions_.fetch_add(1, std::memory_order_relaxed));
    if (const auto most = limit(Resource::sessions); most != 0 && before >= most) {
        end_session();
        return Refusal::sessions;
    }
    if (with_handshake) handshakes_.fetch_add(1, std::memory_order_relaxed);
    return Refusal::none;
}

AddressCounts::Held Capacity::hold(const geo::Address& client, What what) noexcept {
    return counts_->hold(hash_(client), what);
}

bool Capacity::address_is_full(const geo::Address& client) const noexcept {
    const auto most = per_address_.load(std::memory_order_relaxed);
    return most != 0 && counts_->count(hash_(client), What::session) >= most;
}

Capacity::Verdict Capacity::judge_request(const geo::Address& client, bool is_trusted_hop) const noexcept {
    // The request that is judged is counted already.
    const std::uint64_t others = std::max<std::uint64_t>(1, used(Resource::requests)) - 1;
    const unsigned load = std::max(
        {percent(others, limit(Resource::requests)), this->load(Resource::descriptors), this->load(Resource::memory)});
    if (load < busy_requests_at) return Verdict::carry;
    if (load >= 100) return Verdict::shed;
    return !is_trusted_hop && counts_->is_busy(hash_(client), What::request, few_requests) ? Verdict::shed
                                                                                           : Verdict::carry;
}

void Capacity::set_rates(const std::vector<conf::Site>& sites, std::chrono::nanoseconds now) {
    const auto follow = [&](const Pace& before, const conf::Rate& rate, unsigned burst) {
        const Pace next = Pace::of(rate.count, rate.per, burst, now);
        if (!next.limits() || !before.limits()) return next;
        return next.same_limit(before) ? before : before.followed_by(next, now);
    };
    const std::lock_guard lock{mutex_};
    std::map<std::string, Rates> next;
    for (const auto& site : sites) {
        Rates& rates = next[site.name] = rates_of_[site.name];
        // Buckets that stand still while their limit is off would count by a clock that is not theirs.
        if (!rates.address.limits()) rates.scope = ++scopes_;
        if (!rates.site.limits()) rates.bucket = std::make_shared<Bucket>();
        rates.address = follow(rates.address, site.rate_limit.address, site.rate_limit.address_burst);
        rates.site = follow(rates.site, site.rate_limit.site, site.rate_limit.site_burst);
    }
    rates_of_ = std::move(next);
}

Capacity::Rates Capacity::rates_of(const std::string& site) const {
    const std::lock_guard lock{mutex_};
    const auto found = rates_of_.find(site);
    return found == rates_of_.end() ? Rates{} : found->second;
}

}  // namespace nearhop::shared
