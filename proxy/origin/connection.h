#pragma once

#include "proxy/loop/loop.h"
#include "proxy/origin/announcement.h"
#include "proxy/wire/stream.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace nearhop::origin {

/// A kept-alive connection that is closed so soon after a request was sent on it was closed before the request came;
/// later, the origin had it, and did not answer. No two continents are half a second apart.
inline constexpr std::chrono::milliseconds stale_within{500};

class Pool;

/// How long a connection may idle, by the time after which the origin says that it closes it: a little less, so that no
/// request meets the end on its way.
constexpr loop::milliseconds idle_limit_of(std::optional<std::chrono::seconds> told) noexcept {
    if (!told) return loop::milliseconds::max();
    const loop::milliseconds whole = *told;
    return whole - std::min(loop::milliseconds{1000}, whole / 2);
}

/// One TCP or TLS connection to one address of an origin. While it is leased, its socket notifies the exchange; while
/// it idles, it notifies itself, and whatever happens then (an end, a reset, a stray byte) removes it from its pool
/// before a request could meet it.
class Connection final : public loop::Notify {
public:
    explicit Connection(Pool& owner) noexcept;
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// The TLS session of its address and name, for the next connection: what this one learns goes there. Null without
    /// TLS, and when the settings have changed before it was dialled. Before `stream`, which writes to it.
    std::shared_ptr<wire::SslSession> session;
    unsigned tls_era = 0;  ///< Pool::tls_era() under which it was secured
    wire::Stream stream;
    std::string address;      ///< Endpoint::text
    std::string server_name;  ///< followed_name(): it serves requests for this one alone
    Announcement announced;   ///< what it began with
    loop::TimePoint created{};
    loop::TimePoint idle_since{};
    loop::milliseconds idle_limit = idle_limit_of({});  ///< by the origin's own word (Keep-Alive: timeout)
    unsigned requests = 0;                              ///< sent on it so far
    bool quiet = false;                                 ///< idles without OpenSSL's buffers

    bool reused() const noexcept { return requests > 1; }
    Pool& pool() const noexcept { return pool_; }
    void notify() noexcept override;  ///< idle only

private:
    Pool& pool_;
};

}  // namespace nearhop::origin
