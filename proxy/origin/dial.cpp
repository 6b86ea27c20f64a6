#include "proxy/origin/dial.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace nearhop::origin {

using account::Fault;
using loop::Io;

namespace {

constexpr std::size_t longest_name = 253;  // RFC 1035 section 3.1, as text

Fault fault_of_connect(int error) noexcept {
    switch (error) {
        case ECONNREFUSED:
        case ECONNRESET: return Fault::origin_refused;
        case ETIMEDOUT: return Fault::origin_connect_timeout;
        case EADDRNOTAVAIL:  // no local port is left: our own limit, not the origin's fault
        case EAGAIN:
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM: return Fault::edge_overloaded;
        default: return Fault::origin_unreachable;
    }
}

}  // namespace

Dial::Dial(Pool& pool, const shared::OriginInfo& origin, std::shared_ptr<const shared::Addresses> addresses,
           geo::OriginId id, const conf::Failover& limits, loop::Notify& notify, const Announcement& announcement,
           std::string server_name)
    : pool_{pool},
      origin_{origin},
      addresses_{std::move(addresses)},
      limits_{limits},
      notify_{notify},
      announcement_{announcement},
      server_name_{std::move(server_name)} {
    const auto& all = addresses_->by_origin[id];
    const std::size_t turn = all.empty() ? 0 : pool_.next_turn() % all.size();
    // Good addresses in turn, then the ones that probes say are down.
    for (const bool down : {false, true})
        for (std::size_t i = 0; i < all.size() && endpoint_count_ < endpoints_.size(); ++i)
            if (const auto& endpoint = all[(turn + i) % all.size()]; endpoint.down == down)
                endpoints_[endpoint_count_++] = &endpoint;
}

void Dial::begin(Try& attempt) {
    const shared::Endpoint& endpoint = *endpoints_[started_++];
    attempt.began = pool_.loop().now();
    // What is left of the descriptors is the reserve of probes and the admin listener.
    if (pool_.capacity() && pool_.capacity()->is_out_of_descriptors()) return fail(attempt, Fault::edge_overloaded);
    attempt.connection = std::make_unique<Connection>(pool_);
    pool_.counters().active.add();
    pool_.counters().opened.add();
    attempt.connection->address = endpoint.text;
    attempt.connection->created = attempt.began;
    attempt.connection->requests = 1;
    const int descriptor =
        ::socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (descriptor < 0) return fail(attempt, fault_of_connect(errno));
    const int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // What the origin does not acknowledge for this long is lost; without it a half-open path takes minutes.
    const unsigned unacknowledged = 20'000;
    setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof unacknowledged);
    if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&endpoint.address), endpoint.size) != 0 &&
        errno != EINPROGRESS) {
        const int error = errno;
        ::close(descriptor);
        fail(attempt, fault_of_connect(error));
        out_of_ports_ = error == EADDRNOTAVAIL;
        return;
    }
    attempt.connection->stream.socket().open(pool_.loop(), descriptor, notify_, true);
    attempt.phase = Phase::connecting;
}

void Dial::fail(Try& attempt, Fault fault) {
    attempt.phase = Phase::failed;
    fault_ = fault;
    out_of_ports_ = false;
    if (failure_count_ < failures_.size()) failures_[failure_count_++] = {endpoints_[started_ - 1]->text, fault};
    if (attempt.connection) {
        for (const shared::Endpoint* endpoint : endpoints_)
            if (endpoint && endpoint->text == attempt.connection->address)
                failures_[failure_count_ - 1].address = endpoint->text;
        tls_failure_ = attempt.connection->stream.tls_failure();
    }
    attempt.connection.reset();
}

/// False: no certificate can carry the name, which a client chose.
bool Dial::begin_tls(Connection& connection) {
    const std::string& name = server_name_.empty() ? origin_.server_name : server_name_;
    if (name.empty() || name.size() > longest_name || name.front() == '.') return false;
    connection.server_name = server_name_;
    auto& session = connection.session = pool_.session_for(origin_.tls_digest, connection.address, server_name_);
    if (session) connection.tls_era = pool_.tls_era();
    connection.stream.start_tls_client(origin_.context.get(), name, geo::Address::parse(name).has_value(),
                                       session ? session->get() : nullptr);
    SSL_set_app_data(connection.stream.tls(), session.get());
    return true;
}

bool Dial::advance(Try& attempt) {
    const auto now = pool_.loop().now();
    auto& stream = attempt.connection->stream;
    if (attempt.phase == Phase::connecting) {
        const auto connected = stream.socket().connected();
        if (connected.pending) {
            if (now >= tries_[0].began + limits_.connect_timeout) fail(attempt, Fault::origin_connect_timeout);
            return false;
        }
        if (connected.error != 0) {
            fail(attempt, fault_of_connect(connected.error));
            return false;
        }
        if (!announcement_.empty()) {
            // Before TLS, and queued only: it leaves in one send with what follows it.
            attempt.connection->announced = announcement_;
            stream.write(announcement_.bytes());
        }
        if (!origin_.tls) return true;
        if (!begin_tls(*attempt.connection)) {
            fail(attempt, Fault::origin_certificate);
            return false;
        }
        attempt.phase = Phase::handshaking;
    }
    switch (stream.handshake()) {
        case Io::ok: return true;
        case Io::blocked:
            if (now >= tries_[0].began + limits_.tls_timeout) fail(attempt, Fault::origin_tls_timeout);
            return false;
        case Io::closed:
        case Io::failed: break;
    }
    fail(attempt, stream.tls_failure().certificate ? Fault::origin_certificate : Fault::origin_tls);
    return false;
}

Dial::Step Dial::step() {
    for (;;) {
        for (auto& attempt : tries_) {
            if (attempt.phase != Phase::connecting && attempt.phase != Phase::handshaking) continue;
            if (!advance(attempt)) continue;
            winner_ = std::move(attempt.connection);
            attempt.phase = Phase::unused;
            for (auto& other : tries_) {  // the slower one is closed
                if (other.phase == Phase::connecting &&
                    pool_.loop().now() - other.began >= limits_.second_address_after)
                    pool_.doubt(other.connection->address);
                other.connection.reset();
            }
            return Step::ready;
        }
        const bool none_running = std::none_of(tries_.begin(), tries_.end(), [](const Try& attempt) {
            return attempt.phase == Phase::connecting || attempt.phase == Phase::handshaking;
        });
        const bool may_start = started_ < endpoint_count_;
        const bool late = started_ == 1 && pool_.loop().now() >= tries_[0].began + limits_.second_address_after;
        if (may_start && (none_running || late)) {
            begin(tries_[started_]);
            continue;
        }
        return none_running ? Step::failed : Step::pending;
    }
}

loop::TimePoint Dial::due() const noexcept {
    auto due = loop::TimePoint::max();
    for (const auto& attempt : tries_) {
        // Both addresses share the limits of the attempt.
        if (attempt.phase == Phase::connecting) due = std::min(due, tries_[0].began + limits_.connect_timeout);
        if (attempt.phase == Phase::handshaking) due = std::min(due, tries_[0].began + limits_.tls_timeout);
    }
    if (started_ == 1 && started_ < endpoint_count_)
        due = std::min(due, tries_[0].began + limits_.second_address_after);
    return due;
}

}  // namespace nearhop::origin
