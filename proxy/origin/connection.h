#pragma once

#include "proxy/loop/loop.h"
#include "proxy/origin/announcement.h"
#include "proxy/wire/stream.h"

#include <memory>
#include <string>
#include <unordered_map>

namespace nearhop::origin {

class Pool;

/// One TCP or TLS connection to one address of an origin. While it is leased, its socket notifies the exchange; while
/// it idles, it notifies itself, and whatever happens then (an end, a reset, a stray byte) removes it from its pool
/// before a request could meet it.
class Connection final : public loop::Notify {
public:
    explicit Connection(Pool& owner) noexcept;
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// TLS sessions by address, made under the same settings as this connection: what it learns goes there. Null when
    /// the settings have changed before it was dialled.
    std::shared_ptr<std::unordered_map<std::string, wire::SslSession>> sessions;
    wire::Stream stream;
    std::string address;     ///< Endpoint::text
    Announcement announced;  ///< what it began with
    loop::TimePoint created{};
    loop::TimePoint idle_since{};
    unsigned requests = 0;  ///< sent on it so far
    bool quiet = false;     ///< idles without OpenSSL's buffers

    bool reused() const noexcept { return requests > 1; }
    Pool& pool() const noexcept { return pool_; }
    void notify() noexcept override;  ///< idle only

private:
    Pool& pool_;
};

}  // namespace nearhop::origin
