#pragma once

#include "conf/config.h"
#include "proxy/wire/tls.h"

#include <string>

struct ssl_method_st;

/// Common parts of the contexts for clients (server_tls.h) and for origins (origin_tls.h); key_pair.h has their
/// certificates.
namespace nearhop::wire {

inline constexpr unsigned char http1_protocol[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};  ///< for ALPN

/// Throws std::bad_alloc.
SslContext make_context(const ssl_method_st* method);

int number_of(conf::TlsVersion version) noexcept;  ///< OpenSSL's

/// Has a client's handshake verify that the certificate is for `name`, and send it as SNI unless it is an address (RFC
/// 9525). False without memory: any name would do then, so there must be no handshake.
bool expect_server_name(ssl_st* ssl, const std::string& name, bool name_is_address) noexcept;

}  // namespace nearhop::wire
