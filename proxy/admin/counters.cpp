#include "proxy/admin/counters.h"

namespace nearhop::admin {
namespace {

/// One block per worker from the first look-up on: a reader then never meets a half-filled row.
template <class Rows, class Key>
auto block(Rows& rows, std::mutex& mutex, const Key& key, unsigned worker, unsigned workers) {
    using Block = typename Rows::mapped_type::value_type::element_type;
    const std::lock_guard lock{mutex};
    auto& row = rows[key];
    while (row.size() < workers) row.push_back(std::make_shared<Block>());
    return row[worker];
}

template <class Rows>
Rows copy(const Rows& rows, std::mutex& mutex) {
    const std::lock_guard lock{mutex};
    return rows;
}

}  // namespace

std::string_view name(Http2End why) noexcept {
    switch (why) {
        case Http2End::open: return "open";
        case Http2End::closed: return "closed";
        case Http2End::idle: return "idle";
        case Http2End::drained: return "drained";
        case Http2End::head_timeout: return "head_timeout";
        case Http2End::write_timeout: return "write_timeout";
        case Http2End::protocol_error: return "protocol_error";
        case Http2End::rapid_reset: return "rapid_reset";
        case Http2End::made_reset: return "made_reset";
        case Http2End::control_flood: return "control_flood";
        case Http2End::empty_frames: return "empty_frames";
        case Http2End::continuation_flood: return "continuation_flood";
        case Http2End::header_bomb: return "header_bomb";
    }
    return "?";
}

std::string_view name(Duty duty) noexcept {
    switch (duty) {
        case Duty::resolve: return "resolve";
        case Duty::probe: return "probe";
        case Duty::control_target: return "control_target";
        case Duty::files: return "files";
        case Duty::orders: return "orders";
        case Duty::reload: return "reload";
        case Duty::tick: return "tick";
        case Duty::signals: return "signals";
        case Duty::admin: return "admin";
        case Duty::mail: return "mail";
    }
    return "?";
}

std::string_view name(Stay why) noexcept {
    switch (why) {
        case Stay::not_idempotent: return "not_idempotent";
        case Stay::body_not_replayable: return "body_not_replayable";
        case Stay::budget_empty: return "budget_empty";
        case Stay::deadline: return "deadline";
        case Stay::candidates_exhausted: return "candidates_exhausted";
        case Stay::response_started: return "response_started";
        case Stay::key_pinned: return "key_pinned";
        case Stay::failover_disabled: return "failover_disabled";
    }
    return "?";
}

std::string_view name(Moved outcome) noexcept {
    switch (outcome) {
        case Moved::answered: return "answered";
        case Moved::failed: return "failed";
        case Moved::client_gone: return "client_gone";
    }
    return "?";
}

Registry::Registry(unsigned workers) {
    for (unsigned i = 0; i < workers; ++i) by_worker_.push_back(std::make_unique<WorkerCounters>());
}

std::shared_ptr<OriginCounters> Registry::origin(unsigned worker, const std::string& site, const std::string& origin) {
    return block(origins_, mutex_, std::pair{site, origin}, worker, workers());
}

std::shared_ptr<SiteCounters> Registry::site(unsigned worker, const std::string& site) {
    return block(sites_, mutex_, site, worker, workers());
}

std::shared_ptr<PoolCounters> Registry::pool(unsigned worker, const std::string& origin) {
    return block(pools_, mutex_, origin, worker, workers());
}

exchange::OriginLoad& Registry::load(const std::string& origin) {
    const std::lock_guard lock{mutex_};
    auto& load = loads_[origin];
    if (!load) load = std::make_shared<exchange::OriginLoad>();
    return *load;
}

std::map<std::string, std::shared_ptr<exchange::OriginLoad>> Registry::loads() const { return copy(loads_, mutex_); }

Registry::Rows<std::pair<std::string, std::string>, OriginCounters> Registry::origins() const {
    return copy(origins_, mutex_);
}
Registry::Rows<std::string, SiteCounters> Registry::sites() const { return copy(sites_, mutex_); }
Registry::Rows<std::string, PoolCounters> Registry::pools() const { return copy(pools_, mutex_); }

}  // namespace nearhop::admin
