#include "proxy/wire/tls_context.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <new>

namespace nearhop::wire {
SslContext make_context(const SSL_METHOD* method) {
    SslContext context{SSL_CTX_new(method)};
    if (!context) throw std::bad_alloc{};
    SSL_CTX_set_read_ahead(context.get(), 1);
    // A peer that closes without close_notify is judged by the framing. Without this option OpenSSL also spoils the
    // session for resumption.
    SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    return context;
}

int number_of(conf::TlsVersion version) noexcept {
    return version == conf::TlsVersion::tls1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
}

bool expect_server_name(ssl_st* ssl, const std::string& name, bool name_is_address) noexcept {
    // Alternative names only, never the common name (RFC 9525 section 2), and no wildcard for a part of a label
    // (section 6.3).
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (name_is_address) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) == 1;
    return SSL_set_tlsext_host_name(ssl, name.c_str()) == 1 && SSL_set1_host(ssl, name.c_str()) == 1;
}

}  // namespace nearhop::wire
