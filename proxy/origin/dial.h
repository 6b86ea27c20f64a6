#pragma once

#include "conf/config.h"
#include "proxy/account/fault.h"
#include "proxy/origin/pool.h"
#include "proxy/shared/snapshot.h"

#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace nearhop::origin {

/// One attempt to connect to an origin: up to two of its addresses, the second on refusal or after a moment, whichever
/// is ready first wins (RFC 8305 in small). A state machine that is stepped whenever its sockets notify or due() has
/// passed; it never waits by itself. Nothing of the request is sent here.
class Dial {
public:
    enum class Step : std::uint8_t { pending, ready, failed };

    Dial(Pool& pool, const shared::OriginInfo& origin, std::shared_ptr<const shared::Addresses> addresses,
         geo::OriginId id, const conf::Failover& limits, loop::Notify& notify, const Announcement& announcement = {},
         std::string server_name = {});

    Step step();
    /// When step() must be called although nothing notified.
    loop::TimePoint due() const noexcept;
    std::unique_ptr<Connection> take() noexcept { return std::move(winner_); }
    /// Of the attempt as a whole; after `failed`.
    account::Fault fault() const noexcept { return fault_; }
    const wire::TlsFailure& tls_failure() const noexcept { return tls_failure_; }
    /// After `failed`: no local port was left, which is so towards one address, not towards others.
    bool is_out_of_ports() const noexcept { return out_of_ports_; }

    /// Addresses that failed and why, also when another one won.
    struct Failure {
        std::string_view address;
        account::Fault fault;
    };
    std::span<const Failure> failures() const noexcept { return {failures_.data(), failure_count_}; }

private:
    enum class Phase : std::uint8_t { unused, connecting, handshaking, failed };
    struct Try {
        Phase phase = Phase::unused;
        std::unique_ptr<Connection> connection;
        loop::TimePoint began{};
    };
    void begin(Try& attempt);
    void fail(Try& attempt, account::Fault fault);
    bool advance(Try& attempt);
    bool begin_tls(Connection& connection);

    Pool& pool_;
    const shared::OriginInfo& origin_;
    std::shared_ptr<const shared::Addresses> addresses_;
    const conf::Failover& limits_;
    loop::Notify& notify_;
    const Announcement announcement_;
    const std::string server_name_;  ///< followed_name()
    std::array<const shared::Endpoint*, 2> endpoints_{};
    std::size_t endpoint_count_ = 0;
    std::size_t started_ = 0;
    std::array<Try, 2> tries_;
    std::unique_ptr<Connection> winner_;
    bool out_of_ports_ = false;
    account::Fault fault_ = account::Fault::origin_resolve;
    wire::TlsFailure tls_failure_;
    std::array<Failure, 2> failures_{};
    std::size_t failure_count_ = 0;
};

}  // namespace nearhop::origin
