#pragma once

#include "conf/config.h"
#include "conf/problem.h"

#include <memory>
#include <string>

struct ssl_ctx_st;

namespace nearhop::wire {

/// What connections to an origin are secured with.
struct OriginTls {
    std::shared_ptr<ssl_ctx_st> context;  ///< verification on, TLS 1.2 or later, ALPN http/1.1; null: problems say why
    /// Changes with everything that decides whom the context trusts and what it shows, file contents included: sessions
    /// and connections made under another value are not used again.
    std::string digest;
};

/// `ca` empty: the system's store. Each file is read once, so that the digest is of what the context was made of.
OriginTls load_origin_tls(const conf::At<std::string>& ca, const conf::OriginTls& tls, conf::Problems& problems);

}  // namespace nearhop::wire
