#pragma once

#include "conf/config.h"
#include "geo/address.h"
#include "proxy/loop/loop.h"
#include "proxy/loop/task.h"

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

struct ares_channeldata;

namespace nearhop::control {

/// What DNS says of one name.
struct Resolved {
    std::vector<geo::Address> addresses;  ///< sorted, IPv4 first, each once; empty: the resolve failed
    std::chrono::seconds ttl{0};          ///< the shortest of the answer, as received
    std::size_t dropped = 0;              ///< what DNS gave above the limit, and `addresses` does not hold
    std::string error;                    ///< why all of it, or one address family, could not be had
    double seconds = 0;                   ///< how long it took
};

/// Brings what a name resolved to into a stable order, each address once and at most `most` of them; says how many it
/// dropped. Each address family may have half of the room, and what the other one leaves. Those in use (`known`) stay;
/// then the order of the answer decides, which servers change from one answer to the next.
std::size_t bound_addresses(std::vector<geo::Address>& addresses, const std::vector<geo::Address>& known,
                            std::size_t most);

/// Asks DNS on a loop, through c-ares. Names are absolute: a search list could send an origin's traffic to another
/// host. The hosts file comes first. Not thread-safe: it belongs to its loop's thread.
class Resolver final : private loop::Notify {
public:
    /// Throws std::runtime_error when c-ares cannot start or a server's address means nothing to it.
    Resolver(loop::Loop& loop, const conf::Dns& settings);
    ~Resolver();  ///< ends what is being resolved: those Tasks finish with an error
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;

    /// IPv4 and IPv6 are asked for side by side, both for at most `dns.timeout`. Where one of the two fails, as opposed
    /// to having no address, its part of `known` stands: half an answer must not take addresses away. The half that has
    /// addresses while the other is not there is handed to `early` after `half_after` (RFC 8305 section 3); that call
    /// must not drop the Task. At any other time dropping it is fine.
    using Early = std::function<void(const Resolved&)>;
    loop::Task<Resolved> resolve(std::string name, std::vector<geo::Address> known, Early early = {});
    static constexpr loop::milliseconds half_after{50};

private:
    struct Query;
    struct Half;
    struct SocketWatch;

    void open();
    void close() noexcept;
    void notify() noexcept override;  ///< c-ares's own timeouts
    void on_socket(int descriptor, bool reads);
    void watch(int descriptor, bool reads, bool writes);
    void arm() noexcept;

    loop::Loop& loop_;
    loop::Timer timer_;
    std::string servers_;         ///< comma-separated; empty: the system's
    loop::milliseconds timeout_;  ///< of a resolve
    loop::milliseconds try_;      ///< of the first question to one server; c-ares doubles it in its second round
    std::size_t most_;
    ares_channeldata* channel_ = nullptr;
    std::map<int, std::shared_ptr<SocketWatch>> sockets_;
    int in_flight_ = 0;
    bool renew_ = false;  ///< the system's servers failed: perhaps there are other ones by now
};

}  // namespace nearhop::control
