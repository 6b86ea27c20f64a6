#pragma once

#include <cstdint>
#include <memory>
#include <string>

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

namespace nearhop::wire {

struct SslDelete {
    void operator()(ssl_st* ssl) const noexcept;
    void operator()(ssl_ctx_st* context) const noexcept;
    void operator()(ssl_session_st* session) const noexcept;
};
using Ssl = std::unique_ptr<ssl_st, SslDelete>;
using SslContext = std::unique_ptr<ssl_ctx_st, SslDelete>;
using SslSession = std::unique_ptr<ssl_session_st, SslDelete>;

/// Why a handshake failed, in a form that decides what to tell the operator.
struct TlsFailure {
    bool certificate = false;  ///< the origin's certificate was refused
    long verify_result = 0;    ///< X509_V_ERR_*
    unsigned long error = 0;   ///< OpenSSL's error code, 0: closed without one
    std::string text() const;  ///< "certificate has expired", "wrong version number", ...
};

}  // namespace nearhop::wire
