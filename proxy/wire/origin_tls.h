#pragma once

#include "conf/config.h"
#include "conf/problem.h"

#include <memory>
#include <string>

struct ssl_ctx_st;

namespace nearhop::wire {

/// TLS settings of connections to an origin.
struct OriginTls {
    std::shared_ptr<ssl_ctx_st> context;  ///< verification on, TLS 1.2 or later, ALPN http/1.1; null: see the problems
    /// Changes with every setting, file contents included, that decides what the context trusts and shows. Sessions and
    /// connections with another value are not reused.
    std::string digest;
};

/// `ca` empty: the system's store. Each file is read once, so the digest matches the context.
OriginTls load_origin_tls(const conf::At<std::string>& ca, const conf::OriginTls& tls, conf::Problems& problems);

}  // namespace nearhop::wire
