#include "proxy/wire/tls_context.h"

#include <openssl/ssl.h>

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

}  // namespace nearhop::wire
