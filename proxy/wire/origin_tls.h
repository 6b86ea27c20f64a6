#pragma once

#include "conf/config.h"
#include "conf/problem.h"

#include <memory>
#include <string>

struct ssl_ctx_st;

namespace nearhop::wire {

/// Sets what `tls` says on a context for origins. False after adding problems.
bool set_up_origin(ssl_ctx_st* context, const conf::OriginTls& tls, conf::Problems& problems);

/// Changes with everything that decides whom such a context trusts and what it shows, file contents included: sessions
/// and connections made under another value are not used again.
std::string origin_tls_digest(const std::string& ca_file, const conf::OriginTls& tls);

/// The context for connections to origins: verification on, TLS 1.2 or later, ALPN http/1.1. `ca_file` empty: the
/// system's store. Null with `error` set when the file cannot be used.
std::shared_ptr<ssl_ctx_st> load_origin_context(const std::string& ca_file, std::string& error);

}  // namespace nearhop::wire
