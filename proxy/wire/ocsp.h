#pragma once

#include <string>

struct ssl_ctx_st;

namespace nearhop::wire {

struct KeyPair;

/// Staples the OCSP response (RFC 6960, DER) in `file` to the handshakes of `context`, which shows `pair`. `error` if
/// it is for another certificate or its signature is wrong: then nothing is stapled. `warning` if it is stale or says
/// revoked. Stapling ends when the response's next update is due.
void staple(ssl_ctx_st* context, const KeyPair& pair, const std::string& file, std::string& error,
            std::string& warning);

}  // namespace nearhop::wire
