#pragma once

#include "conf/config.h"
#include "proxy/wire/client_rule.h"
#include "proxy/wire/ticket_keys.h"
#include "proxy/wire/tls.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nearhop::wire {

/// The contexts for clients' handshakes: one OpenSSL context per certificate. SNI chooses it (exact, then wildcard,
/// else the first) before OpenSSL reads a ticket. Certificates of the same name with different kinds of keys share one:
/// each client gets one that it can verify. Immutable; shared by all workers.
class ServerTls {
public:
    /// Reads certificates and keys; every unreadable file, mismatch or bad cipher list becomes a problem with the
    /// configuration's own position. Null when one is an error.
    /// `keys`: the process's own, for tickets unless a file has keys. `rules`: null if no site has its own.
    static std::shared_ptr<const ServerTls> load(const conf::Tls& tls, const TicketKeys& keys, conf::Problems& problems,
                                                 ClientRuleOf rules = {});

    /// To start a handshake with; SNI may switch it to another certificate.
    ssl_ctx_st* context() const noexcept { return contexts_.front().get(); }

    /// Whether both names have the same certificate; otherwise a connection for one may not serve the other (RFC 9110
    /// section 15.5.20). In any case of letters.
    bool same_certificate(std::string_view left, std::string_view right) const;

    /// Whether a certificate here matches a site's host: a name, "*.example.com" (any name one label below) or an
    /// IP address.
    bool covers(const std::string& host) const;

    struct Expiry {
        std::string certificate;  ///< file name as configured
        std::chrono::system_clock::time_point not_after;
    };
    const std::vector<Expiry>& expiries() const noexcept { return expiries_; }

private:
    std::vector<SslContext> contexts_;
    std::vector<Expiry> expiries_;
};

/// An OpenSSL cipher list that names at least one cipher.
bool is_cipher_list(const std::string& ciphers);

/// Applies a listener's own settings to one connection, before its handshake.
void restrict(ssl_st* ssl, const std::optional<conf::TlsVersion>& min_version, const std::string& ciphers);

}  // namespace nearhop::wire
