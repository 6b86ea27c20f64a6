#pragma once

#include "conf/config.h"
#include "proxy/steering/table.h"

#include <string>
#include <string_view>

/// What a path may mean to an origin. Routes match the path as the edge forwards it. An origin may read more into it
/// (dot segments, double slashes, escapes), which could evade a rule for `/admin`.
namespace nearhop::steering {

enum class PathForm : std::uint8_t { as_sent, changed, encoded_slash, bad_percent };

/// The normal form of an absolute path (RFC 3986 sections 6.2.2 and 5.2.4): dot segments and double slashes removed,
/// escapes of unreserved characters decoded, the others in upper case. `slashes` says what becomes of %2F, %5C and
/// backslashes. `into` is written only for `changed`. encoded_slash and bad_percent (also %00): refuse it.
PathForm normalize_path(std::string_view path, conf::EncodedSlashes slashes, std::string& into);

/// The reading of the most generous origin: decoded once, backslashes as slashes, without parameters (`;x`), dot
/// segments and double slashes. Without `decode` or `parameters`, that step is omitted.
void read_path(std::string_view path, bool decode, bool parameters, std::string& into);

/// False if a likely reading of `path` belongs to another route of the site than the path itself. No
/// allocation for ordinary paths.
bool readings_agree(const SiteTable& site, std::string_view method, std::string_view path);

}  // namespace nearhop::steering
