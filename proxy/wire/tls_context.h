#pragma once

#include "conf/config.h"
#include "proxy/wire/tls.h"

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace nearhop::wire {

/// 80 bytes: name, HMAC key and AES key of session tickets. One set per process: shared by all workers, kept across
/// reloads.
using TicketKeys = std::array<unsigned char, 80>;
TicketKeys make_ticket_keys();

/// What clients' handshakes are made with: one OpenSSL context per certificate, chosen by SNI (exact, then wildcard,
/// else the first) before a ticket is looked at. Immutable; shared by all workers.
class ServerTls {
public:
    /// Reads certificates and keys; every unreadable file, mismatch or bad cipher list becomes a problem with the
    /// configuration's own position. Null when one is an error.
    static std::shared_ptr<const ServerTls> load(const conf::Tls& tls, const TicketKeys& keys,
                                                 conf::Problems& problems);

    /// To start a handshake with; SNI may switch it to another certificate.
    ssl_ctx_st* context() const noexcept { return entries_.front()->context.get(); }

    struct Expiry {
        std::string certificate;  ///< file name as configured
        std::chrono::system_clock::time_point not_after;
    };
    std::vector<Expiry> expiries() const;

private:
    struct Entry {
        SslContext context;
        std::vector<std::string> names;  ///< lower case, from the certificate's SAN
        Expiry expiry;
    };
    std::vector<std::unique_ptr<Entry>> entries_;
};

/// The context for connections to origins: verification on, TLS 1.2 or later, ALPN http/1.1. `ca_file` empty: the
/// system's store. Null with `error` set when the file cannot be used.
std::shared_ptr<ssl_ctx_st> load_origin_context(const std::string& ca_file, std::string& error);

}  // namespace nearhop::wire
