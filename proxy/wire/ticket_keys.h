#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

struct ssl_ctx_st;

namespace nearhop::wire {

/// Keys of session tickets: the newest key seals, older keys open tickets for as long as a ticket lives.
/// Copies share one set, so that all workers and every reload use the same. Thread-safe.
class TicketKeys {
public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::size_t key_bytes = 80;  ///< name 16, HMAC key 32, AES key 32
    /// OpenSSL's own for TLS 1.3; the lifetime that a ticket announces.
    static constexpr std::chrono::seconds ticket_life{7200};

    /// One random key. Throws std::runtime_error without random bytes.
    TicketKeys();
    /// Keys as in a file of `tls.ticket_keys`: one after the other, the first seals. They do not rotate by time.
    /// Null with `error` set unless it is a whole number of keys, 1 to 16.
    static std::shared_ptr<const TicketKeys> from_bytes(std::string_view bytes, std::string& error);

    /// Makes `context` use these keys, with a new one every `rotation`; zero: never.
    void attach(ssl_ctx_st* context, std::chrono::seconds rotation) const;
    /// A new key if the newest is as old as `rotation`; done by the first handshake that needs it, not by a timer.
    void rotate(Time now, std::chrono::seconds rotation) const;
    std::size_t count() const;

    struct Ring;

private:
    explicit TicketKeys(std::shared_ptr<Ring> ring) : ring_{std::move(ring)} {}
    std::shared_ptr<Ring> ring_;
};

inline TicketKeys make_ticket_keys() { return {}; }

}  // namespace nearhop::wire
