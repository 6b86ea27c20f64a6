#pragma once

#include "conf/config.h"
#include "proxy/wire/tls.h"

struct ssl_method_st;

/// What contexts for clients and for origins have in common. The two kinds are in server_tls.h and origin_tls.h, what
/// they show in key_pair.h.
namespace nearhop::wire {

inline constexpr unsigned char http1_protocol[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};  ///< for ALPN

/// Throws std::bad_alloc.
SslContext make_context(const ssl_method_st* method);

int number_of(conf::TlsVersion version) noexcept;  ///< OpenSSL's

}  // namespace nearhop::wire
