#pragma once

#include "proxy/loop/loop.h"
#include "proxy/origin/announcement.h"
#include "proxy/wire/stream.h"

#include <memory>
#include <string>

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

    /// The TLS session of its address, for the next connection: what this one learns goes there. Null without TLS, and
    /// when the settings have changed before it was dialled. Before `stream`, which writes to it.
    std::shared_ptr<wire::SslSession> session;
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
