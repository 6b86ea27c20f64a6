#pragma once

#include "proxy/run/commands.h"

#include <memory>
#include <string>

struct ssl_ctx_st;

/// Whom a command trusts when it talks TLS to the admin listener, and what it shows. Each throws std::runtime_error
/// with a sentence where a file cannot be used.
namespace nearhop::run {

/// Those in the file of --ca, else the system's.
std::shared_ptr<ssl_ctx_st> trust_in_authorities(const AdminOptions& options);

/// Trusts the first certificate of the edge's own file and no other, whatever authority signed it: its names do not
/// matter, and another certificate of the same authority is refused.
std::shared_ptr<ssl_ctx_st> trust_in_certificate(const std::string& file, const AdminOptions& options);

}  // namespace nearhop::run
