#pragma once

#include "conf/config.h"
#include "proxy/steering/table.h"

#include <string>
#include <string_view>

/// What a path may mean to an origin. Routes are matched by the path as it is forwarded; origins may read more into it
/// (dot segments, double slashes, escapes), so that a rule for `/admin` could be walked around.
namespace nearhop::steering {

enum class PathForm : std::uint8_t { as_sent, changed, encoded_slash, bad_percent };

/// The normal form of an absolute path (RFC 3986 sections 6.2.2 and 5.2.4): dot segments and double slashes removed,
/// escapes of unreserved characters decoded, the others in upper case. `slashes` says what becomes of %2F, %5C and
/// backslashes. `into` is written only for `changed`. encoded_slash and bad_percent (also %00): refuse it.
PathForm normalize_path(std::string_view path, conf::EncodedSlashes slashes, std::string& into);

/// What the most generous origin reads: one step of decoding, backslashes as slashes, parameters (`;x`) left out,
/// dot segments and double slashes removed. Without `decode` or `parameters` less of it.
void read_path(std::string_view path, bool decode, bool parameters, std::string& into);

/// False when a likely reading of `path` falls under another route of the site than the path as it stands. No
/// allocation for ordinary paths.
bool readings_agree(const SiteTable& site, std::string_view method, std::string_view path);

}  // namespace nearhop::steering
