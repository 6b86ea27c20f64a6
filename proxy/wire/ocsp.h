#pragma once

#include <string>

struct ssl_ctx_st;

namespace nearhop::wire {

struct KeyPair;

/// Staples the OCSP response (RFC 6960, DER) in `file` to the handshakes of `context`, which shows `pair`. `error` when
/// it is none for that certificate or its signature is wrong: nothing is stapled. `warning` when it is stale or says
/// revoked. A response is not stapled any more once its next update is due.
void staple(ssl_ctx_st* context, const KeyPair& pair, const std::string& file, std::string& error,
            std::string& warning);

}  // namespace nearhop::wire
