#pragma once

#include "proxy/wire/tls.h"

#include <string>
#include <string_view>
#include <vector>

namespace nearhop::wire {

/// The file's bytes, at most 16 MiB. The result is the error; empty: read.
std::string read_file(const std::string& file, std::string& bytes);

/// All certificates of a PEM text (RFC 7468) in their order; blocks of other kinds are skipped. Empty with `error`
/// set when there is none, or when any block is damaged or cut short: half a list of authorities, or a chain without
/// its end, would look complete.
std::vector<X509Certificate> read_certificates(std::string_view pem, std::string& error);

/// The first private key of a PEM text. Null with `error` set when there is none, or it is damaged or encrypted.
PrivateKey read_private_key(std::string_view pem, std::string& error);

/// The same for a file of certificate authorities. Empty with `error`, which names the file, also if no chain could end
/// in it.
std::vector<X509Certificate> read_authorities(const std::string& file, std::string_view pem, std::string& error);

/// The innermost OpenSSL error in words; the queue is empty afterwards.
std::string last_error();

}  // namespace nearhop::wire
