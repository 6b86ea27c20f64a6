#pragma once

#include "conf/config.h"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

struct ssl_st;
struct x509_st;
struct x509_store_st;
struct stack_st_X509_NAME;

namespace nearhop::wire {

/// Whether clients must show a certificate, and which authorities count. Immutable; equal settings and equal bytes in
/// the CA file give the same id, also after a reload.
class ClientRule {
public:
    using Id = std::array<unsigned char, 32>;

    ClientRule() = default;
    ~ClientRule();
    ClientRule(const ClientRule&) = delete;
    ClientRule& operator=(const ClientRule&) = delete;

    /// Null with `error` set when `ca_file` cannot be used.
    static std::shared_ptr<const ClientRule> load(conf::ClientCertificates mode, const std::string& ca_file,
                                                  std::string& error);

    const Id& id() const noexcept { return id_; }  ///< all zero: no certificate required
    /// Before the handshake looks at a ticket. False when memory is out.
    bool apply(ssl_st* ssl) const noexcept;

private:
    conf::ClientCertificates mode_ = conf::ClientCertificates::none;
    x509_store_st* store_ = nullptr;
    stack_st_X509_NAME* names_ = nullptr;  // sent to clients, so that they choose a matching certificate
    Id id_{};
};

/// The rule of the site that serves `server_name` (may be empty); null: the listener's applies.
using ClientRuleOf = std::function<const ClientRule*(std::string_view server_name)>;

/// What a server's handshake was made with. SSL_set_app_data() of the connection points to it until it is finished.
struct ServerHandshake {
    const ClientRule* listener_rule = nullptr;  ///< null: no client certificates
    bool http2 = false;                         ///< offered through ALPN
    std::string server_name;                    ///< as sent, lower case; empty: none
    ClientRule::Id client_rule{};
};

/// The verified certificate as field lines for origins, under the configured names. Everything that is not plain
/// visible ASCII is escaped, so that no name in a certificate can end a line or a list. Empty when no name is
/// configured.
std::string identity_lines(x509_st* certificate, const conf::ClientIdentity& names);

/// The identity by which a peer may be trusted, each part as identity_lines() writes it.
struct CertificateNames {
    std::string fingerprint;
    std::string san;
};
CertificateNames certificate_names(x509_st* certificate);

}  // namespace nearhop::wire
