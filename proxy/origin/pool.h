#pragma once

#include "conf/config.h"
#include "proxy/account/counters.h"
#include "proxy/origin/connection.h"
#include "proxy/shared/capacity.h"
#include "proxy/shared/snapshot.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace nearhop::origin {

/// One worker's idle connections to one origin, and what makes new ones cheap (TLS sessions by address). Found by the
/// origin's identity, so that a reload keeps it; outlives the connections that were made from it. Not thread-safe: it
/// belongs to its worker.
///
/// Unless `origin_idle` says otherwise, as many connections idle at most as were in use at the peak of the last
/// `origin_idle_timeout`, since that many the load needs again, or `least_idle`: of those that announce a client each
/// serves that one alone, however few are in use at once.
class Pool final : private loop::Notify {
public:
    /// `capacity`, if given, counts every connection and outlives the pool.
    Pool(loop::Loop& loop, std::shared_ptr<account::PoolCounters> counters, shared::Capacity* capacity = nullptr);
    ~Pool();

    static constexpr std::size_t least_idle = 64;

    void set_limits(const conf::Limits& limits) noexcept;

    /// The most recently used idle connection that is still good, began with this announcement and was made for this
    /// name (followed_name()), or null.
    std::unique_ptr<Connection> take(const Announcement& announced = {}, std::string_view server_name = {});
    /// Only after a complete, unambiguous exchange with nothing left unread: reuse is a statement about the
    /// response. Dropping a connection instead closes it.
    void keep(std::unique_ptr<Connection> connection);
    /// An idle connection had an event: it is of no more use.
    void remove(Connection& connection) noexcept;
    /// Closes idle connections to addresses that are gone from DNS or down by their probes; leased ones finish. What
    /// was known of addresses that are gone is forgotten, and none is kept of their connections.
    void retain(const std::vector<shared::Endpoint>& endpoints);
    void close_idle() noexcept;
    /// The origin has left the configuration: the pool keeps nothing from now on.
    void retire() noexcept;
    /// What was sent to this address got lost: idle connections to it are closed.
    void lose(const std::string& address) noexcept { drop_all(address); }
    /// A connection was not made while another address of the origin answered: a weaker sign, which others here know.
    void doubt(const std::string& address);
    bool doubted_since(const std::string& address, loop::TimePoint time) const noexcept {
        return doubted_at_ >= time && doubted_ == address;
    }

    /// What connections are secured with from now on, as wire::OriginTls says. Another value than before ends
    /// idle connections and forgets sessions: they were made with another trust.
    void set_tls(const std::string& digest);
    /// The session for connections to an address under `digest`, for this name (followed_name(), which may be a
    /// client's word: only so many are kept); null when the digest is no longer the present one.
    std::shared_ptr<wire::SslSession> session_for(const std::string& digest, const std::string& address,
                                                  const std::string& server_name = {});
    static constexpr std::size_t most_sessions = 256;
    unsigned tls_era() const noexcept { return tls_era_; }  ///< another one after each change of the digest
    std::size_t session_count() const noexcept { return sessions_.size(); }
    account::PoolCounters& counters() noexcept { return *counters_; }
    shared::Capacity* capacity() const noexcept { return capacity_; }
    loop::Loop& loop() noexcept { return loop_; }
    unsigned next_turn() noexcept { return turn_++; }  ///< spreads connections over an origin's addresses

private:
    friend class Connection;
    void begin_use() noexcept;  ///< one connection more is in use than before
    std::size_t in_use() const noexcept { return connections_ - idle_.size(); }
    std::size_t most_idle() noexcept;
    bool is_known(const Connection& connection) const noexcept;

    void notify() noexcept override;  ///< timer: close what idled too long
    void set_timer() noexcept;
    loop::TimePoint due_of(const Connection& idle) const noexcept;
    void drop(std::size_t index) noexcept;
    void drop_all(const std::string& address) noexcept;
    bool worn(const Connection& connection) const noexcept;
    loop::milliseconds idle_limit(const Connection& connection) const noexcept {
        return std::min(idle_timeout_, connection.idle_limit);
    }

    loop::Loop& loop_;
    std::shared_ptr<account::PoolCounters> counters_;
    shared::Capacity* capacity_;
    std::size_t connections_ = 0;  ///< all that are open
    /// Most that were in use at once, in the present period of `idle_timeout_` and in the one before.
    std::size_t peak_ = 0, last_peak_ = 0;
    loop::TimePoint period_began_{};
    std::vector<std::unique_ptr<Connection>> idle_;                                // oldest first
    std::unordered_map<std::string, std::shared_ptr<wire::SslSession>> sessions_;  // by address, and name
    std::string tls_digest_;
    unsigned tls_era_ = 0;
    std::vector<std::string> addresses_;  ///< that the origin has; empty: not known yet
    std::string doubted_;                 ///< the last one, and when
    loop::TimePoint doubted_at_{};
    loop::Timer timer_;
    unsigned turn_ = 0;
    std::optional<std::size_t> most_;
    loop::milliseconds idle_timeout_{50'000};
    loop::milliseconds age_{300'000};
    unsigned requests_ = 1000;
};

/// Makes OpenSSL hand new client sessions to the pool's slot; once per origin context, before it is used.
void remember_sessions(ssl_ctx_st* context);

}  // namespace nearhop::origin
