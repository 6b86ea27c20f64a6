#include "proxy/origin/pool.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <utility>

namespace nearhop::origin {

// OpenSSL's record buffers are 34 KiB a connection; the busy ones would only allocate them again.
constexpr loop::milliseconds quiet_after{1000};

Connection::Connection(Pool& owner) noexcept : pool_{owner} {
    ++pool_.connections_;
    pool_.begin_use();
    if (auto* const capacity = pool_.capacity()) capacity->add_origin_connections(1);
}

Connection::~Connection() {
    --pool_.connections_;
    pool_.counters().active.subtract();
    if (auto* const capacity = pool_.capacity()) capacity->add_origin_connections(-1);
}

void Connection::notify() noexcept { pool_.remove(*this); }

Pool::Pool(loop::Loop& loop, std::shared_ptr<account::PoolCounters> counters, shared::Capacity* capacity)
    : loop_{loop},
      counters_{std::move(counters)},
      capacity_{capacity},
      period_began_{loop.now()},
      timer_{loop, *this} {}

Pool::~Pool() {
    for (std::size_t i = 0; i < idle_.size(); ++i) {
        counters_->idle.subtract();
        counters_->active.add();
    }
}

void Pool::set_limits(const conf::Limits& limits) noexcept {
    most_.reset();
    if (limits.origin_idle) most_ = *limits.origin_idle;
    idle_timeout_ = limits.origin_idle_timeout;
    age_ = limits.origin_age;
    requests_ = limits.origin_requests;
}

void Pool::begin_use() noexcept { peak_ = std::max(peak_, in_use()); }

std::size_t Pool::most_idle() noexcept {
    if (most_) return *most_;
    if (const auto passed = loop_.now() - period_began_; passed >= idle_timeout_) {
        last_peak_ = passed < 2 * idle_timeout_ ? peak_ : in_use();
        peak_ = in_use();
        period_began_ = loop_.now();
    }
    return std::max({peak_, last_peak_, least_idle});
}

bool Pool::is_known(const Connection& connection) const noexcept {
    if (connection.stream.is_tls() && connection.tls_era != tls_era_) return false;
    return addresses_.empty() ||
           std::find(addresses_.begin(), addresses_.end(), connection.address) != addresses_.end();
}

bool Pool::worn(const Connection& connection) const noexcept {
    const auto now = loop_.now();
    return connection.requests >= requests_ || now - connection.created >= age_ ||
           now - connection.idle_since >= idle_limit(connection) || connection.stream.socket().hung_up();
}

std::unique_ptr<Connection> Pool::take(const Announcement& announced, std::string_view server_name) {
    for (std::size_t i = idle_.size(); i-- > 0;) {
        if (idle_[i]->announced != announced) continue;  // only where an origin wants announcements
        if (idle_[i]->server_name != server_name) continue;
        auto connection = std::move(idle_[i]);
        idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(i));
        counters_->idle.subtract();
        counters_->active.add();
        begin_use();
        if (worn(*connection)) continue;
        ++connection->requests;
        counters_->reused.add();
        return connection;
    }
    return nullptr;
}

void Pool::keep(std::unique_ptr<Connection> connection) {
    auto& stream = connection->stream;
    connection->idle_since = loop_.now();
    const std::size_t most = most_idle();
    if (!stream.in().empty() || stream.unsent() != 0 || stream.over() || most == 0 || worn(*connection)) return;
    if (!is_known(*connection)) return;
    connection->quiet = !stream.is_tls();
    while (idle_.size() >= most) drop(0);
    stream.socket().ask_path(false);
    stream.release_buffers();
    stream.socket().notify_to(*connection);
    // A TLS origin may already have sent something (a late ticket): reading it here keeps the edge armed. Anything
    // but protocol chatter closes the connection.
    if (stream.socket().maybe_readable() && (stream.fill(1) != loop::Io::blocked || !stream.in().empty())) return;
    stream.release_buffers();
    counters_->active.subtract();
    counters_->idle.add();
    idle_.push_back(std::move(connection));
    if (const auto due = due_of(*idle_.back()); timer_.due() > due) timer_.expires_at(due);
}

void Pool::set_tls(const std::string& digest) {
    if (digest == tls_digest_) return;
    tls_digest_ = digest;
    ++tls_era_;
    sessions_.clear();  // connections that are still in use keep theirs
    close_idle();
}

std::shared_ptr<wire::SslSession> Pool::session_for(const std::string& digest, const std::string& address,
                                                    const std::string& server_name) {
    if (digest != tls_digest_) return nullptr;
    const std::string key = server_name.empty() ? address : address + ' ' + server_name;
    if (sessions_.size() >= most_sessions && !sessions_.contains(key)) sessions_.clear();
    auto& session = sessions_[key];
    if (!session) session = std::make_shared<wire::SslSession>();
    return session;
}

void Pool::remove(Connection& connection) noexcept {
    const auto found =
        std::find_if(idle_.begin(), idle_.end(), [&](const auto& idle) { return idle.get() == &connection; });
    if (found == idle_.end()) return;
    // Not every event means something: a TLS 1.3 ticket may come late, and an edge may be delivered after what it
    // announced has been read. Only an end, an error or a byte that nobody asked for makes the connection useless.
    auto& stream = connection.stream;
    if (!stream.socket().hung_up() && stream.fill(1) == loop::Io::blocked && stream.in().empty()) {
        stream.release_buffers();
        return;
    }
    drop(static_cast<std::size_t>(found - idle_.begin()));
}

void Pool::drop(std::size_t index) noexcept {
    counters_->idle.subtract();
    counters_->active.add();  // until its destructor has run
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(index));
}

void Pool::retain(const std::vector<shared::Endpoint>& endpoints) {
    addresses_.clear();
    for (const auto& endpoint : endpoints) addresses_.push_back(endpoint.text);
    std::erase_if(sessions_, [&](const auto& session) {
        const std::string_view address = std::string_view{session.first}.substr(0, session.first.find(' '));
        return std::find(addresses_.begin(), addresses_.end(), address) == addresses_.end();
    });
    for (std::size_t i = idle_.size(); i-- > 0;) {
        const bool good = std::any_of(endpoints.begin(), endpoints.end(), [&](const shared::Endpoint& endpoint) {
            return !endpoint.down && endpoint.text == idle_[i]->address;
        });
        if (!good) drop(i);
    }
}

void Pool::close_idle() noexcept {
    while (!idle_.empty()) drop(idle_.size() - 1);
}

void Pool::retire() noexcept {
    most_ = 0;
    close_idle();
}

void Pool::doubt(const std::string& address) {
    doubted_ = address;
    doubted_at_ = loop_.now();
    drop_all(address);
}

void Pool::drop_all(const std::string& address) noexcept {
    for (std::size_t i = idle_.size(); i-- > 0;)
        if (idle_[i]->address == address) drop(i);
}

void Pool::notify() noexcept {
    const auto now = loop_.now();
    for (std::size_t i = idle_.size(); i-- > 0;)
        if (now - idle_[i]->idle_since >= idle_limit(*idle_[i])) drop(i);
    for (const auto& connection : idle_) {
        if (connection->quiet || now - connection->idle_since < quiet_after) continue;
        connection->stream.release_all();
        connection->quiet = true;
    }
    set_timer();
}

void Pool::set_timer() noexcept {
    if (idle_.empty()) return timer_.clear();
    auto due = loop::TimePoint::max();
    for (const auto& idle : idle_) due = std::min(due, due_of(*idle));
    timer_.expires_at(due);
}

/// When there is something to do for a connection that idles: each may have an end of its own.
loop::TimePoint Pool::due_of(const Connection& idle) const noexcept {
    const auto limit = idle_limit(idle);
    return idle.idle_since + (idle.quiet ? limit : std::min(quiet_after, limit));
}

void remember_sessions(ssl_ctx_st* context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, [](SSL* ssl, SSL_SESSION* session) {
        auto* slot = static_cast<wire::SslSession*>(SSL_get_app_data(ssl));
        if (!slot) return 0;
        slot->reset(session);
        return 1;  // the slot owns the reference now
    });
}

}  // namespace nearhop::origin
