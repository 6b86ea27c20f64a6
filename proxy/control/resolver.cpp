#include "proxy/control/resolver.h"

#include <ares.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <netdb.h>
#include <new>
#include <set>
#include <stdexcept>
#include <sys/time.h>
#include <utility>

namespace nearhop::control {

namespace asio = boost::asio;

namespace {

void add_from_hosts_file(ares_channel channel, const std::string& name, int family,
                         std::vector<geo::Address>& addresses) {
    hostent* host = nullptr;
    if (ares_gethostbyname_file(channel, name.c_str(), family, &host) != ARES_SUCCESS) return;
    for (char** bytes = host->h_addr_list; *bytes; ++bytes) {
        char text[64];
        if (!ares_inet_ntop(family, *bytes, text, sizeof text)) continue;
        if (const auto address = geo::Address::parse(text)) addresses.push_back(*address);
    }
    ares_free_hostent(host);
}

/// IPv4 before IPv6, then by value: the order of an answer says nothing, and a stable one changes nothing.
bool comes_before(const geo::Address& left, const geo::Address& right) {
    if (left.is_v4() != right.is_v4()) return left.is_v4();
    return left.bytes() < right.bytes();
}

}  // namespace

std::size_t bound_addresses(std::vector<geo::Address>& addresses, const std::vector<geo::Address>& known,
                            std::size_t most) {
    std::set<geo::Address, decltype(&comes_before)> all{&comes_before};
    // Those in use come first, then each in its place in the answer.
    std::stable_partition(addresses.begin(), addresses.end(), [&](const geo::Address& address) {
        return std::find(known.begin(), known.end(), address) != known.end();
    });
    std::erase_if(addresses, [&](const geo::Address& address) { return !all.insert(address).second; });
    const auto is_v4 = [](const geo::Address& address) { return address.is_v4(); };
    const auto v4 = static_cast<std::size_t>(std::count_if(addresses.begin(), addresses.end(), is_v4));
    const std::size_t v6 = std::min(addresses.size() - v4, std::max(most - std::min(most, v4), most / 2));
    std::array<std::size_t, 2> room{v6, most - v6};
    std::erase_if(addresses, [&](const geo::Address& address) {
        auto& left = room[address.is_v4() ? 1 : 0];
        const bool full = left == 0;
        if (!full) --left;
        return full;
    });
    std::sort(addresses.begin(), addresses.end(), comes_before);
    return all.size() - addresses.size();
}

/// One of c-ares' sockets, which closes it itself. What it waits for is waited for once, and again when c-ares has
/// read: it may stop before the socket is empty (over TCP it does).
struct Resolver::SocketWatch : std::enable_shared_from_this<SocketWatch> {
    SocketWatch(Resolver& resolver, int fd) : owner{resolver}, descriptor{resolver.loop_.context(), fd} {}
    ~SocketWatch() { descriptor.release(); }
    SocketWatch(const SocketWatch&) = delete;
    SocketWatch& operator=(const SocketWatch&) = delete;

    struct Direction {
        asio::posix::descriptor_base::wait_type type;
        bool wanted = false;
        bool waits = false;
    };

    void wait() {
        for (auto* direction : {&reads, &writes}) {
            if (!direction->wanted || direction->waits) continue;
            descriptor.async_wait(
                direction->type, [gone = weak_from_this(), direction](const boost::system::error_code& error) {
                    const auto self = gone.lock();
                    if (!self || error) return;
                    direction->waits = false;
                    self->owner.on_socket(self->descriptor.native_handle(), direction == &self->reads);
                });
            direction->waits = true;
        }
    }

    Resolver& owner;
    asio::posix::stream_descriptor descriptor;
    Direction reads{asio::posix::descriptor_base::wait_read}, writes{asio::posix::descriptor_base::wait_write};
};

/// The answers for one address family.
struct Resolver::Half {
    int family = 0;
    bool answered = false;
    int status = ARES_ETIMEOUT;  ///< until it is answered
    std::vector<geo::Address> addresses{};
    int ttl = std::numeric_limits<int>::max();

    /// False without memory for it: c-ares is no place to throw through.
    bool add(const geo::Address& address) noexcept {
        try {
            addresses.push_back(address);
            return true;
        } catch (const std::bad_alloc&) {
            status = ARES_ENOMEM;
            return false;
        }
    }
    bool failed() const noexcept {
        return status != ARES_SUCCESS && status != ARES_ENODATA && status != ARES_ENOTFOUND;
    }
};

/// One name being resolved. c-ares holds a reference for each answer that is to come, so it may outlive the Task.
struct Resolver::Query {
    Resolver* owner;
    loop::Wake* wake;  ///< null: nobody waits any more
    std::array<Half, 2> halves{Half{.family = AF_INET}, Half{.family = AF_INET6}};
    int pending = 0;
    loop::TimePoint first_at{};  ///< when the first half was answered

    /// The one half that has addresses while the other is not answered: what is there is worth using.
    bool has_half() const noexcept {
        return pending == 1 && std::any_of(halves.begin(), halves.end(),
                                           [](const Half& half) { return half.answered && !half.addresses.empty(); });
    }
    Resolved result(const std::vector<geo::Address>& known, std::size_t most) const;

    struct Reference {
        std::shared_ptr<Query> query;
        std::size_t half;
    };

    static void ask(const std::shared_ptr<Query>& query, std::size_t half, ares_channel channel, const char* name) {
        auto reference = std::make_unique<Reference>(Reference{query, half});
        ++query->pending;
        ++query->owner->in_flight_;
        ares_addrinfo_hints hints{};
        hints.ai_family = query->halves[half].family;
        hints.ai_flags = ARES_AI_NOSORT;
        ares_getaddrinfo(channel, name, nullptr, &hints, &Query::answered, reference.release());
    }

    static void answered(void* argument, int status, int, ares_addrinfo* answer) {
        const std::unique_ptr<Reference> reference{static_cast<Reference*>(argument)};
        Query& query = *reference->query;
        Half& half = query.halves[reference->half];
        half.answered = true;
        half.status = status;
        for (const auto* each = answer ? answer->nodes : nullptr; each; each = each->ai_next) {
            if (each->ai_family != half.family) continue;
            if (const auto address = geo::Address::from(each->ai_addr); address && !half.add(*address)) break;
            half.ttl = std::min(half.ttl, each->ai_ttl);
        }
        for (const auto* each = answer ? answer->cnames : nullptr; each; each = each->next)
            half.ttl = std::min(half.ttl, each->ttl);
        if (answer) ares_freeaddrinfo(answer);
        if (--query.pending == 1) query.first_at = query.owner->loop_.now();
        --query.owner->in_flight_;
        if (half.failed() && status != ARES_EDESTRUCTION) query.owner->renew_ = true;
        if (query.wake) query.wake->notify();
    }
};

/// What the answers that are there say; a half without one keeps what was known of it.
Resolved Resolver::Query::result(const std::vector<geo::Address>& known, std::size_t most) const {
    Resolved result;
    bool any = false;
    for (const Half& half : halves) {
        if (half.failed()) result.error = ares_strerror(half.status);
        any |= !half.addresses.empty();
    }
    if (!any) {
        if (result.error.empty()) result.error = ares_strerror(halves[0].status);
        return result;
    }
    int ttl = std::numeric_limits<int>::max();
    for (const Half& half : halves) {
        ttl = std::min(ttl, half.ttl);
        result.addresses.insert(result.addresses.end(), half.addresses.begin(), half.addresses.end());
        if (!half.failed()) continue;
        for (const auto& address : known)
            if (address.is_v4() == (half.family == AF_INET)) result.addresses.push_back(address);
    }
    result.ttl = std::chrono::seconds{std::max(ttl, 0)};
    result.dropped = bound_addresses(result.addresses, known, most);
    return result;
}

Resolver::Resolver(loop::Loop& loop, const conf::Dns& settings)
    : loop_{loop},
      timer_{loop, *this},
      timeout_{settings.timeout},
      // A third, so that one server is asked twice, and each of three once; resolv.conf has no more that count.
      try_{
          std::max<loop::milliseconds>(timeout_ / std::max<std::size_t>(settings.servers.size(), 3), loop::Loop::tick)},
      most_{settings.addresses} {
    for (const auto& server : settings.servers) servers_ += (servers_.empty() ? "" : ",") + *server;
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) throw std::runtime_error{"c-ares cannot be initialised"};
    open();
}

Resolver::~Resolver() {
    close();
    ares_library_cleanup();
}

void Resolver::open() {
    renew_ = false;
    ares_options options{};
    options.flags = ARES_FLAG_NOSEARCH;
    options.timeout = static_cast<int>(try_.count());
    options.tries = 2;
    char lookups[] = "b";  // DNS alone: the hosts file is read for both families at once, before
    options.lookups = lookups;
    options.sock_state_cb = [](void* self, ares_socket_t descriptor, int reads, int writes) {
        try {
            static_cast<Resolver*>(self)->watch(descriptor, reads != 0, writes != 0);
        } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): no event comes, and c-ares tries again
        }
    };
    options.sock_state_cb_data = this;
    int wanted = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE
    // From c-ares 1.31 on it keeps answers by itself, for an hour at most: `dns.max_ttl` is what counts.
    options.qcache_max_ttl = 0;
    wanted |= ARES_OPT_QUERY_CACHE;
#endif
    if (const int status = ares_init_options(&channel_, &options, wanted); status != ARES_SUCCESS)
        throw std::runtime_error{std::string{"c-ares: "} + ares_strerror(status)};
    if (servers_.empty()) return;
    if (const int status = ares_set_servers_ports_csv(channel_, servers_.c_str()); status != ARES_SUCCESS) {
        close();
        throw std::runtime_error{"dns.servers: " + servers_ + ": " + ares_strerror(status)};
    }
}

void Resolver::close() noexcept {
    if (channel_) ares_destroy(std::exchange(channel_, nullptr));
    sockets_.clear();
}

loop::Task<Resolved> Resolver::resolve(std::string name, std::vector<geo::Address> known, Early early) {
    const auto began = loop_.now();
    Resolved result;
    // Other servers may be configured in the system by now, when the ones that we know do not answer.
    if (renew_ && servers_.empty() && in_flight_ == 0) close();
    try {
        if (!channel_) open();
    } catch (const std::runtime_error& error) {
        result.error = error.what();
        co_return result;
    }
    for (const int family : {AF_INET, AF_INET6}) add_from_hosts_file(channel_, name, family, result.addresses);
    if (!result.addresses.empty()) {
        result.dropped = bound_addresses(result.addresses, known, most_);
        co_return result;
    }

    loop::Wake wake{loop_};
    const auto query = std::make_shared<Query>(Query{.owner = this, .wake = &wake});
    struct Leave {
        Query& left;
        ~Leave() { left.wake = nullptr; }
    } const leave{*query};
    for (const std::size_t half : {0u, 1u}) Query::ask(query, half, channel_, name.c_str());
    arm();
    // From here on `this` may be gone: ending the resolver answers the query.
    loop::Loop& loop = wake.loop();
    loop::Timer timer{loop, wake};
    const auto until = began + timeout_;
    const std::size_t most = most_;
    // c-ares may go on after `until`, where there are many servers; the code that dropped the query does not learn of
    // it.
    while (query->pending > 0 && loop.now() < until) {
        auto due = until;
        if (early && query->has_half()) {
            due = std::min(due, query->first_at + half_after);
            if (loop.now() >= due) std::exchange(early, nullptr)(query->result(known, most));
        }
        timer.expires_at(due);
        co_await wake.wait();
    }
    result = query->result(known, most);
    result.seconds = std::chrono::duration<double>(loop.now() - began).count();
    co_return result;
}

void Resolver::watch(int descriptor, bool reads, bool writes) {
    if (!reads && !writes) {  // c-ares closes it next
        sockets_.erase(descriptor);
        return;
    }
    auto& watched = sockets_[descriptor];
    if (!watched) watched = std::make_shared<SocketWatch>(*this, descriptor);
    watched->reads.wanted = reads;
    watched->writes.wanted = writes;
    watched->wait();
}

void Resolver::on_socket(int descriptor, bool reads) {
    ares_process_fd(channel_, reads ? descriptor : ARES_SOCKET_BAD, reads ? ARES_SOCKET_BAD : descriptor);
    arm();
    if (const auto still = sockets_.find(descriptor); still != sockets_.end() && still->second) still->second->wait();
}

void Resolver::notify() noexcept {
    ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm();
}

void Resolver::arm() noexcept {
    timeval wait{};
    if (!channel_ || !ares_timeout(channel_, nullptr, &wait)) return timer_.clear();
    timer_.expires_after(loop::milliseconds{wait.tv_sec * 1000 + wait.tv_usec / 1000 + 1});
}

}  // namespace nearhop::control
