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

/// The first certificate of the edge's own file and no other one, whoever signed it: the names in it need not be looked
/// at, and any other one of the same authority would not do.
std::shared_ptr<ssl_ctx_st> trust_in_certificate(const std::string& file, const AdminOptions& options);

}  // namespace nearhop::run
