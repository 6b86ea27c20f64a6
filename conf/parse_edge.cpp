#include "conf/sections.h"
#include "conf/syntax.h"

#include <algorithm>
#include <map>

/// What faces the clients: who is trusted, listeners, certificates.
namespace nearhop::conf {

namespace {

void read_trusted_map(Keys& keys, TrustedPeer& peer, bool any_peer) {
    const Field cidr = keys.at("cidr");
    keys.value("cidr", peer.cidr, peer_network(any_peer));
    const Field ranges = keys.at("ip_ranges");
    keys.file("ip_ranges", peer.ip_ranges, "none");
    const Field service = keys.at("service");
    keys.value("service", peer.service, aws_service(), "required with `ip_ranges`");
    const Field certificate = keys.at("certificate");
    keys.section("certificate", [&](Keys& part) {
        peer.certificate.mark = certificate.mark();
        part.value("fingerprint", peer.certificate.fingerprint, fingerprint(), "any");
        part.value("san", peer.certificate.san, alternative_name(), "any");
        if (!part.at("fingerprint").written() && !part.at("san").written())
            part.field().error("want fingerprint or san or both, found neither");
    });
    const Field header = keys.at("secret_header");
    if (header.is(Tree::Kind::text)) return header.mismatch("a map with name and value", {}, true);
    keys.section("secret_header", [&](Keys& secret) {
        secret.required("name", peer.secret_header, field_name());
        const Field value = secret.at("value");
        value.missing(secret_wanted(8));
        read_secret(value, peer.secret, 8, "required");
    });
    if (cidr.written() && ranges.written()) ranges.error("want cidr or ip_ranges, found both");
    if (ranges.written() != service.written()) keys.field().error("want ip_ranges and service, found one of them");
    const bool network = cidr.written() || ranges.written() || service.written();
    if (!network && !certificate.written() && !header.written())
        keys.field().error("want cidr, ip_ranges, certificate or secret_header, found none of them");
    else if (!network && !any_peer)
        keys.field().error(std::string{"trusts every peer that "} +
                           (certificate.written() ? "shows the certificate" : "knows the secret") +
                           ": want cidr or ip_ranges (clients.unsafe_trust_any_peer: true allows it)");
}

void read_listener(Keys& keys, const Config& config, Listener& listener) {
    keys.required("address", listener.address, listen_address());
    keys.value("protocol", listener.kind,
               choice<ListenerKind>({{"https", ListenerKind::https}, {"http", ListenerKind::http}}));
    const Field plain = keys.at("plain");
    keys.value("plain", listener.plain,
               choice<PlainPolicy>({{"redirect", PlainPolicy::redirect}, {"serve", PlainPolicy::serve}}));
    if (plain.written() && listener.kind != ListenerKind::http)
        plain.error("want it on a listener with protocol: http only, found it on https");
    const Field port = keys.at("redirect_port");
    keys.value("redirect_port", listener.redirect_port, count(1, 65'535), "that of the first https listener, else 443");
    if (port.written() && (listener.kind != ListenerKind::http || listener.plain != PlainPolicy::redirect))
        port.error("want it on a listener that redirects only (protocol: http, plain: redirect)");
    keys.section("proxy_protocol", [&](Keys& proxy) {
        if (proxy.at("from").missing("a list of networks")) return;
        // A peer that may send this header chooses the client's address: that is trust like any other.
        proxy.list("from", listener.proxy_protocol_from, peer_network(config.clients.unsafe_trust_any_peer), 1,
                   "required in `proxy_protocol`");
    });
    keys.value("client_certificates", listener.client_certificates, client_certificates());
    keys.value("min_version", listener.min_version, tls_version(), "as `tls.min_version`");
    keys.value("ciphers", listener.ciphers, any_text(), "as `tls.ciphers`");
    for (const char* key : {"client_certificates", "min_version", "ciphers"})
        if (const Field field = keys.at(key); field.written() && listener.kind != ListenerKind::https)
            field.error("want it on a listener with protocol: https only, found it on http");
    keys.value("ready_path", listener.ready_path, prefix());
    const Field http2 = keys.at("http2");
    keys.value("http2", listener.http2, flag());
    if (http2.written() && listener.kind != ListenerKind::https)
        http2.error("want it on a listener with protocol: https only, found it on http");
}

}  // namespace

std::string listens_twice(const ListenAddress& here, const At<ListenAddress>& first) {
    const std::string line = std::to_string(first.mark.line);
    const std::string one = to_string(here), other = to_string(*first);
    if (one == other) return "listens twice on " + one + ", first in line " + line;
    return "want addresses that can be listened on side by side, found " + one + " and, in line " + line + ", " +
           other + ": one includes the other";
}

namespace {

void refuse_duplicates(Reader& reader, const std::vector<Listener>& listeners) {
    std::map<std::uint16_t, std::vector<const Listener*>> seen;
    for (const Listener& listener : listeners) {
        auto& same_port = seen[listener.address->port];
        const auto first = std::find_if(same_port.begin(), same_port.end(), [&](const Listener* other) {
            return overlap(*other->address, *listener.address);
        });
        if (first != same_port.end())
            reader.report(Severity::error, listener.address.mark, listener.address.path,
                          listens_twice(*listener.address, (*first)->address));
        else
            same_port.push_back(&listener);
    }
}

/// Redirects that lead nowhere, or in a circle.
void warn_of_redirects(Reader& reader, const Config& config) {
    const auto& listeners = config.listeners;
    const auto https = std::find_if(listeners.begin(), listeners.end(),
                                    [](const Listener& each) { return each.kind == ListenerKind::https; });
    for (const Listener& listener : listeners) {
        if (listener.kind != ListenerKind::http || listener.plain != PlainPolicy::redirect) continue;
        const auto warn = [&](std::string what) {
            reader.report(Severity::warning, listener.address.mark, listener.address.path, std::move(what));
        };
        if (https == listeners.end() && config.clients.trusted.empty())
            warn(
                "redirects to https, but this edge has no https listener: if a balancer ends TLS in front, every "
                "request "
                "returns here for ever; want that balancer in clients.trusted, so that its X-Forwarded-Proto: https "
                "counts");
        const std::uint16_t port = https == listeners.end() ? 443 : https->address->port;
        if (listener.redirect_port == 0 && port != 443 && port != 0)
            warn("redirects to https on port " + std::to_string(port) +
                 ", the edge's own: want redirect_port, the port that clients know (443 behind a "
                 "balancer)");
    }
}

bool read_pair(Keys& keys, Certificate& pair) {
    keys.at("certificate").missing("a PEM file, leaf first");
    keys.at("private_key").missing("a PEM file");
    const bool certificate = keys.file("certificate", pair.certificate, "required");
    const bool private_key = keys.file("private_key", pair.private_key, "required");
    keys.file("ocsp", pair.ocsp, "none");
    return certificate && private_key;
}

}  // namespace

void read_clients(Keys& top, Config& config) {
    Clients& clients = config.clients;
    top.section("clients", [&](Keys& keys) {
        keys.value("unsafe_trust_any_peer", clients.unsafe_trust_any_peer, flag());
        const bool any_peer = clients.unsafe_trust_any_peer;
        keys.value("underscores", clients.underscores,
                   choice<Underscores>(
                       {{"drop", Underscores::drop}, {"keep", Underscores::keep}, {"refuse", Underscores::refuse}}));
        keys.value("watch", clients.watch, whole_seconds(1s, 86'400s));
        const Field trusted = keys.at("trusted");
        const std::string wanted = "a network, or a map with cidr, ip_ranges, certificate and secret_header";
        trusted.list("a list: " + wanted, "none", false, network().schema);
        trusted.items(wanted, [&](const Field& item) {
            TrustedPeer peer;
            peer.mark = item.mark();
            if (item.is(Tree::Kind::map) || item.listing()) {
                item.map([&](Keys& entry) { read_trusted_map(entry, peer, any_peer); });
            } else {
                item.into(peer.cidr, peer_network(any_peer));
            }
            clients.trusted.push_back(std::move(peer));
        });
        keys.value("untrusted", clients.untrusted, untrusted());
        if (clients.untrusted == Untrusted::refuse && clients.trusted.empty())
            keys.at("untrusted").error(refuses_everybody);
    });
}

void read_listeners(Keys& top, Config& config) {
    const Field listen = top.at("listen");
    const Field listeners = top.at("listeners");
    Listener single;
    if (top.value("listen", single.address, listen_address(), "required unless `listeners` is there"))
        config.listeners.push_back(single);
    if (listen.written() && listeners.written()) listeners.error("want listen or listeners, found both");

    listeners.list("a list of maps", "required unless `listen` is there");
    listeners.items("maps with an address", [&](const Field& item) {
        Listener listener;
        item.map([&](Keys& keys) { read_listener(keys, config, listener); });
        config.listeners.push_back(std::move(listener));
    });
    if (!listen.written() && (!listeners.written() || (listeners.is(Tree::Kind::list) && config.listeners.empty())))
        listeners.error("is missing: want listen: ADDRESS:PORT or a list of listeners");
    refuse_duplicates(top.field().reader(), config.listeners);
    warn_of_redirects(top.field().reader(), config);
}

void read_tls(Keys& top, Config& config) {
    Tls& tls = config.tls;
    const Field section = top.at("tls");
    bool any_written = false;
    top.section("tls", [&](Keys& keys) {
        const Field list = keys.at("certificates");
        const bool pair_written = keys.at("certificate").written() || keys.at("private_key").written();
        any_written = pair_written || list.written();
        if (pair_written && list.written()) list.error("want certificate and private_key, or certificates; found both");
        Certificate single;
        if (keys.field().listing()) {
            keys.file("certificate", single.certificate, "required unless `certificates` is there");
            keys.file("private_key", single.private_key, "required with `certificate`");
            keys.file("ocsp", single.ocsp, "none");
        } else if (pair_written && read_pair(keys, single)) {
            tls.certificates.push_back(std::move(single));
        }
        list.items("maps with certificate and private_key", [&](const Field& item) {
            Certificate pair;
            item.map([&](Keys& entry) { read_pair(entry, pair); });
            tls.certificates.push_back(std::move(pair));
        });
        if (list.is(Tree::Kind::list) && tls.certificates.empty()) any_written = false;
        keys.value("min_version", tls.min_version, tls_version());
        keys.value("ciphers", tls.ciphers, any_text(), "Mozilla intermediate");
        keys.file("client_ca", tls.client_ca, "none");
        keys.section("identity_headers", [&](Keys& names) {
            names.value("subject", tls.identity.subject, field_name(), "none");
            names.value("san", tls.identity.san, field_name(), "none");
            names.value("fingerprint", tls.identity.fingerprint, field_name(), "none");
            names.value("certificate", tls.identity.certificate, field_name(), "none");
        });
        keys.file("ticket_keys", tls.ticket_keys, "random ones");
        keys.value("ticket_rotation", tls.ticket_rotation, whole_seconds(1s, 604'800s));
        if (keys.at("ticket_rotation").written() && keys.at("ticket_keys").written())
            keys.at("ticket_rotation").warning("has no effect on ticket_keys of a file: their owner rotates them");
    });
    for (const Listener& listener : config.listeners) {
        if (any_written || listener.kind != ListenerKind::https) continue;
        section.error("is missing: want certificate and private_key, for the https listener in line " +
                      std::to_string(listener.address.mark.line));
        break;
    }
}

}  // namespace nearhop::conf
