#pragma once

#include <cstdint>
#include <memory>
#include <string>

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;
struct evp_pkey_st;
struct x509_st;

namespace nearhop::wire {

struct SslDelete {
    void operator()(ssl_st* ssl) const noexcept;
    void operator()(ssl_ctx_st* context) const noexcept;
    void operator()(ssl_session_st* session) const noexcept;
    void operator()(x509_st* certificate) const noexcept;
    void operator()(evp_pkey_st* key) const noexcept;
};
using Ssl = std::unique_ptr<ssl_st, SslDelete>;
using SslContext = std::unique_ptr<ssl_ctx_st, SslDelete>;
using SslSession = std::unique_ptr<ssl_session_st, SslDelete>;
using X509Certificate = std::unique_ptr<x509_st, SslDelete>;
using PrivateKey = std::unique_ptr<evp_pkey_st, SslDelete>;

/// False for null. A session may outlive the certificate of its handshake.
bool is_expired(const x509_st* certificate) noexcept;

/// Why TLS failed, for the reason that operators see.
struct TlsFailure {
    bool certificate = false;  ///< the origin's certificate was refused
    long verify_result = 0;    ///< X509_V_ERR_*
    unsigned long error = 0;   ///< OpenSSL's error code, 0: closed without one
    std::string text() const;  ///< "certificate has expired", "wrong version number", ...
    /// The peer refused the handshake (usually our certificate) with an alert that only ends a handshake. In TLS 1.3, a
    /// client that has finished its own part sees it with its first read (RFC 8446 section 4.4.2.4): the peer processed
    /// nothing of what the client has sent since.
    bool is_refusal() const noexcept;
};

}  // namespace nearhop::wire
