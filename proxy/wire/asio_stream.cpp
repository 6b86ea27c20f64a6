#include "proxy/wire/asio_stream.h"

#include <openssl/ssl.h>

namespace nearhop::wire {

void AsioStream::use_tls(ssl_ctx_st* context) {
    SSL_CTX_up_ref(context);
    boost::asio::ssl::context shared{context};  // gives its reference back; the stream's SSL has one of its own
    tls_.emplace(socket_, shared);
}

}  // namespace nearhop::wire
