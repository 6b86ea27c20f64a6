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

/// Of null: no. A session may outlive the certificate that it was made with.
bool is_expired(const x509_st* certificate) noexcept;

/// Why TLS failed, in a form that decides what to tell the operator.
struct TlsFailure {
    bool certificate = false;  ///< the origin's certificate was refused
    long verify_result = 0;    ///< X509_V_ERR_*
    unsigned long error = 0;   ///< OpenSSL's error code, 0: closed without one
    std::string text() const;  ///< "certificate has expired", "wrong version number", ...
    /// The peer refused the handshake (our certificate, mostly) with an alert that only a handshake ends with. In
    /// TLS 1.3 a client that has finished its own part learns of it with its first read (RFC 8446 section 4.4.2.4): of
    /// what it has sent since, nothing was processed.
    bool is_refusal() const noexcept;
};

}  // namespace nearhop::wire
