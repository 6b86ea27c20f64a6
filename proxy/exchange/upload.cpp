#include "proxy/exchange/upload.h"

#include <string>

namespace nearhop::exchange {

using loop::Io;

Fault Upload::move(Codec& client, origin::Channel& to, const Terms& terms, loop::TimePoint now) {
    for (;;) {
        const Fault fault = take(client, to, terms, now);
        if (fault != Fault::none || broken_) return fault;
        const bool full = to.is_full();
        const Io sent = to.flush();
        if (sent == Io::failed) broken_ = true;  // an answer may still be there to read
        // The full buffer is empty now, and neither side would notify again: what the client sent is here already.
        if (!full || sent != Io::ok) return Fault::none;
    }
}

/// Moves bytes from the client to the channel until it is full or there are none at hand.
Fault Upload::take(Codec& client, origin::Channel& to, const Terms& terms, loop::TimePoint now) {
    starved_ = false;
    while (!complete_ && !broken_) {
        if (terms.replay && replayed_ < terms.replay->bytes().size()) {
            const std::size_t taken = to.send_body(terms.replay->bytes().substr(replayed_));
            if (taken == 0) break;
            replayed_ += taken;
            continue;
        }
        // Without a body there is nothing to ask for: what follows the head may belong to another protocol.
        const bool has_body = !terms.request || terms.request->framing.has_body();
        const auto body = has_body ? client.body() : Codec::Body{{}, true, Fault::none};
        if (body.fault != Fault::none) return body.fault;
        if (body.bytes.empty()) {
            if (body.complete) {
                to.sent_at = now;
                return end(client, to, terms);
            }
            starved_ = true;
            if (to.sent_at == loop::TimePoint{}) to.sent_at = now;
            break;
        }
        if (terms.limit != 0 && terms.read + body.bytes.size() > terms.limit) return Fault::client_body_too_large;
        const std::size_t taken = to.send_body(body.bytes);
        if (taken == 0) break;
        if (terms.replay) {
            terms.replay->remember(body.bytes.substr(0, taken));
            replayed_ = terms.replay->bytes().size();
        }
        terms.read += taken;
        client.consume_body(taken);
    }
    return Fault::none;
}

Fault Upload::end(const Codec& client, origin::Channel& to, const Terms& terms) {
    std::string lines;
    const bool may_have_trailers = terms.request && terms.request->framing.kind == wire::Framing::Kind::chunked;
    if (may_have_trailers &&
        !message::filter_trailers(client.request_trailers(), terms.request->fields, terms.trailers, lines))
        return Fault::client_bad_framing;
    to.end_body(lines);
    complete_ = true;
    return Fault::none;
}

}  // namespace nearhop::exchange
