#include "proxy/exchange/context.h"

#include "proxy/exchange/attempt.h"

#include <algorithm>
#include <bit>
#include <new>
#include <stdexcept>
#include <sys/random.h>
#include <utility>

namespace nearhop::exchange {

Dice::Dice() {
    if (getrandom(state_.data(), sizeof state_, 0) != static_cast<ssize_t>(sizeof state_))
        throw std::runtime_error{"getrandom"};
}

std::uint64_t Dice::next() noexcept {
    const auto result = std::rotl(state_[1] * 5, 7) * 9;
    const auto shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
}

Context::Context(unsigned index, loop::Loop& owner, const shared::Board& board, shared::Registry& registry,
                 shared::ReportSink& reports, account::AccessLog& access)
    : loop{owner},
      counters{registry.worker(index)},
      capacity{registry.capacity},
      pins{registry.pins},
      log{access.enabled() ? &access.lane(index) : nullptr},
      index_{index},
      registry_{registry},
      control_{reports},
      view_{board} {}

Context::~Context() = default;

std::unique_ptr<Attempt> Context::fresh_attempt() {
    if (free_attempts_.empty()) return std::make_unique<Attempt>(*this);
    auto attempt = std::move(free_attempts_.back());
    free_attempts_.pop_back();
    return attempt;
}

void Context::recycle(std::unique_ptr<Attempt> attempt) noexcept {
    attempt->reset();
    if (free_attempts_.capacity() == 0) free_attempts_.reserve(256);
    if (free_attempts_.size() < 256) free_attempts_.push_back(std::move(attempt));
}

const std::shared_ptr<const shared::Snapshot>& Context::snapshot() {
    const auto& latest = view_.get();
    if (latest != seen_) {
        if (!bound_ || bound_->routing != latest->routing) bind(*latest);  // may throw: then it has not been seen
        seen_ = latest;
        if (latest->addresses != retained_) {
            retained_ = latest->addresses;
            for (std::size_t i = 0; i < bound_->pools.size(); ++i) bound_->pools[i]->retain(retained_->by_origin[i]);
        }
    }
    return seen_;
}

const std::shared_ptr<const Bound>& Context::bound() {
    snapshot();
    return bound_;
}

namespace {

/// What is known under a name as long as somebody holds it.
template <class Known, class Make>
auto find_or_make(Known& known, const std::string& name, Make make) {
    auto& place = known[name];
    auto found = place.lock();
    if (!found) place = found = make();
    return found;
}

}  // namespace

account::SiteCounters* SiteCounting::make() const noexcept {
    try {
        counters_ = registry_->site(worker_, *site_);
        return counters_.get();
    } catch (const std::bad_alloc&) {
        thread_local account::SiteCounters lost;
        return &lost;
    }
}

account::OriginCounters* OriginCounting::make(std::size_t id) const noexcept {
    try {
        counters_.resize(origins_->size());
        counters_[id] = registry_->origin(worker_, *site_, (*origins_)[id].name);
        return counters_[id].get();
    } catch (const std::bad_alloc&) {
        thread_local account::OriginCounters lost;
        return &lost;
    }
}

void Context::bind(const shared::Snapshot& latest) {
    auto fresh = std::make_shared<Bound>();
    fresh->routing = latest.routing;
    const auto& config = fresh->routing->config;
    for (const auto& origin : fresh->routing->origins) {
        auto& pool = pools_[origin.identity];
        if (!pool) pool = std::make_shared<origin::Pool>(loop, registry_.pool(index_, origin.name), &capacity);
        pool->set_limits(config.limits);
        pool->set_tls(origin.tls_digest);
        fresh->pools.push_back(pool);
        fresh->times.push_back(find_or_make(times_, origin.identity, [] { return std::make_shared<OriginTimes>(); }));
        fresh->loads.push_back(registry_.load(origin.name));
        fresh->pin_ids.push_back(pins.origin(origin.name));
    }
    for (const auto& site : fresh->routing->table->sites) {
        SiteState state{{registry_, index_, site.name}, {registry_, index_, site.name, fresh->routing->origins}};
        state.budget =
            find_or_make(budgets_, site.name, [&] { return std::make_shared<RetryBudget>(config.failover); });
        state.budget->set(config.failover);
        state.rates = capacity.rates_of(site.name);
        for (std::size_t i = 0; i < site.origins.size(); ++i)
            if (config.origins[site.origins[i]].capacity != 0) state.limited.set(static_cast<steering::Position>(i));
        fresh->sites.push_back(std::move(state));
    }
    moments_.assign(fresh->routing->origins.size(), Moment{});
    bound_ = std::move(fresh);
    retained_.reset();  // pools that are new do not know their addresses
    forget_others();
}

/// What only earlier configurations had.
void Context::forget_others() noexcept {
    const auto& pools = bound_->pools;
    const bool all_stay = pools_.size() == pools.size();  // each of these is among those
    std::erase_if(pools_, [&](const auto& each) {
        if (all_stay || std::find(pools.begin(), pools.end(), each.second) != pools.end()) return false;
        each.second->retire();
        return true;
    });
    std::erase_if(times_, [](const auto& known) { return known.second.expired(); });
    std::erase_if(budgets_, [](const auto& known) { return known.second.expired(); });
}

void Context::close_pools() noexcept {
    for (const auto& [identity, pool] : pools_) pool->retire();
    pools_.clear();
    bound_.reset();
}

void Context::relieve() noexcept {
    if (!capacity.is_tight()) return;
    for (const auto& [identity, pool] : pools_) pool->close_idle();
}

steering::Local Context::local(const Bound& bound, steering::SiteId site, bool may_try) noexcept {
    steering::Local local;
    const auto now = loop.now();
    const auto& origins = bound.routing->table->sites[site].origins;
    const auto limited = bound.sites[site].limited;
    const bool present = bound.routing == bound_->routing;
    for (std::size_t i = 0; i < origins.size(); ++i) {
        const auto position = static_cast<steering::Position>(i);
        const geo::OriginId id = origins[i];
        if (limited[position]) {
            local.busy.set(position, bound.loads[id]->is_busy());
            local.full.set(position, bound.loads[id]->is_full());
        }
        if (!present) continue;
        Moment& moment = moments_[id];
        if (skips(moment, id)) {
            local.skips.set(position);
            local.stalled.set(position, moment.stalled);
        }
        const bool silent = moment.silent && is_silent(moment, bound.times[id]->silence);
        if (!silent && !published(id).on_trial) continue;
        if (may_try && moment.trial_until <= now) continue;
        local.skips.set(position);
        (silent ? local.stalled : local.on_trial).set(position);
    }
    return local;
}

const health::State& Context::published(geo::OriginId origin) const noexcept {
    static const health::State unknown{};
    const auto& known = seen_->health->origins;
    return origin < known.size() ? known[origin].state : unknown;
}

/// A newer verdict on the origin knows better.
bool Context::skips(const Moment& moment, geo::OriginId origin) const noexcept {
    return moment.skip_until > loop.now() && published(origin).since == moment.skipped_since;
}

bool Context::is_silent(Moment& moment, const Silence& silence) noexcept {
    constexpr std::chrono::seconds longest{10};  // where nothing may try: then others find out
    moment.silent = silence.goes_on() && loop.now() - silence.found_at() < longest;
    return moment.silent;
}

bool Context::begin_trial(const Bound& bound, geo::OriginId origin) noexcept {
    Moment* moment = moment_of(bound, origin);
    const bool on_trial = moment && published(origin).on_trial;
    if (on_trial || (moment && moment->silent)) moment->trial_until = loop.now() + loop::milliseconds{1000};
    return on_trial;
}

void Context::skip(const Bound& bound, geo::OriginId origin, bool is_stalled) noexcept {
    Moment* moment = moment_of(bound, origin);
    if (!moment) return;
    moment->skip_until = loop.now() + loop::milliseconds{1000};
    moment->skipped_since = published(origin).since;
    moment->stalled = is_stalled;
}

void Context::stalled(const Bound& bound, geo::OriginId origin) {
    skip(bound, origin, true);
    if (Moment* moment = moment_of(bound, origin)) moment->silent = true;
    bound.pools[origin]->counters().stalls.add();
    if (bound.loads[origin]->first_to_report_stall(loop.now()))
        report({bound.routing, origin, health::Passive::connect_failed, health::Reason::stalled, {}});
}

void Context::report(shared::PassiveReport report) {
    const bool is_numbered = report.routing == bound_->routing;
    const auto load =
        is_numbered ? bound_->loads[report.origin] : registry_.load(report.routing->origins[report.origin].name);
    if (report.address.empty())
        load->rows.failed();
    else
        load->rows.failed(report.address);
    reports_.push_back(std::move(report));
}

void Context::report_ok(const Bound& bound, geo::OriginId origin, bool trial) {
    if (!bound.loads[origin]->rows.succeeded() && !trial) return;
    const auto what = trial ? health::Passive::trial_passed : health::Passive::ok;
    reports_.push_back({bound.routing, origin, what, health::Reason::passed, {}});
}

void Context::report_dialled(const Bound& bound, geo::OriginId origin, const std::string& address) {
    if (!bound.loads[origin]->rows.succeeded(address)) return;
    reports_.push_back({bound.routing, origin, health::Passive::ok, health::Reason::passed, address});
}

void Context::report_agent(const Bound& bound, geo::OriginId origin, health::Agent word) {
    Moment* moment = moment_of(bound, origin);
    if (!moment) return;  // of an older configuration: the next answer tells
    const auto known = published(origin).agent;
    const bool is_up = word == health::Agent::up;
    const bool news = is_up ? known != health::Agent::none : known != word;
    if (is_up && !news) return;
    // News too may come with every answer until the control thread has published it.
    if (loop.now() - moment->agent_told < (news ? loop::milliseconds{10} : loop::milliseconds{1000})) return;
    moment->agent_told = loop.now();
    reports_.push_back({bound.routing, origin, health::Passive::ok, health::Reason::none, {}, word});
}

void Context::want_probe(const Bound& bound, geo::OriginId origin) {
    reports_.push_back({.routing = bound.routing, .origin = origin, .address = {}, .wants_probe = true});
}

void Context::send_reports() {
    if (reports_.empty()) return;
    control_.report(std::exchange(reports_, {}));
}

}  // namespace nearhop::exchange
