#include "proxy/exchange/peer_trust.h"

#include "proxy/exchange/viewer.h"
#include "proxy/message/forwarded.h"

#include <string_view>
#include <vector>

namespace nearhop::exchange {

bool is_trusted(const steering::Trust& trust, const message::Request& request, const Peer& peer) {
    if (trust.empty()) return false;
    // As many as are configured. It is kept for the next request, which then allocates nothing; what it refers to is
    // gone by then.
    thread_local std::vector<std::string_view> secrets;
    const auto secret_headers = trust.secret_headers();
    secrets.assign(secret_headers.size(), {});
    for (const auto& field : request.fields)
        for (std::size_t i = 0; i < secrets.size(); ++i)
            if (wire::equal_ignoring_case(field.name, secret_headers[i])) secrets[i] = field.value;
    steering::PeerCertificate shown;
    if (peer.certificate) shown = {peer.certificate->fingerprint, peer.certificate->san};
    return trust.trusts(peer.address, secrets, shown);
}

bool ended_tls(const shared::Snapshot& snapshot, const message::Request& request, const Peer& peer) {
    if (!is_trusted(*snapshot.trust, request, peer)) return false;
    message::Forwarding how;
    how.trusted = true;
    how.hops =
        steering::locate(peer.address, true, viewer_fields(request.fields), *snapshot.trust, *snapshot.locator).hops;
    const auto proto = message::client_proto(request, how);
    return wire::equal_ignoring_case(proto, "https") || wire::equal_ignoring_case(proto, "wss");
}

}  // namespace nearhop::exchange
