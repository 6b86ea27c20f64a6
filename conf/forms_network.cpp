#include "conf/forms.h"
#include "conf/syntax.h"

#include <algorithm>

/// Hosts, addresses, networks and what the two ends of a TLS connection may be.
namespace nearhop::conf {

Form<std::string> site_host() {
    return {"a host name without port, such as www.example.com or *.example.com",
            [](const std::string& text) { return site_host_from(text); }, itself};
}

Form<std::string> host_field() {
    return {"HOST or HOST:PORT", [](const std::string& text) { return host_field_from(text); }, itself};
}

Form<std::string> host_header() {
    Form<std::string> form = host_field();
    form.wanted = "client or origin or server_name or a host name";
    return form;
}

Form<std::string> server_name() {
    return {"origin or host or a host name or a numeric address",
            [](const std::string& text) { return is_ipv6(text) ? std::optional{text} : host_name_from(text); }, itself};
}

Form<std::string> network() {
    return {"an address or a network such as 10.0.0.0/8 or 2001:db8::/32, with no bit set after the prefix",
            [](const std::string& text) {
                const auto parsed = network_from(text);
                return parsed ? std::optional{parsed->text} : std::nullopt;
            },
            itself};
}

Form<std::string> peer_network(bool everyone_too) {
    Form<std::string> form = network();
    if (everyone_too) return form;
    form.wanted += ", that does not hold every address (clients.unsafe_trust_any_peer: true allows it)";
    form.read = [](const std::string& text) {
        const auto parsed = network_from(text);
        return parsed && !parsed->everyone ? std::optional{parsed->text} : std::nullopt;
    };
    return form;
}

Form<std::string> aws_service() {
    return with(
        schema::matching("^[A-Z0-9_]{1,64}$"),
        text_that("the name of a service in that file, such as CLOUDFRONT_ORIGIN_FACING", [](const std::string& text) {
            return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
                return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
            });
        }));
}

Form<std::string> dns_server() {
    return {"a numeric address, or one with a port such as 127.0.0.1:53 or [::1]:53",
            [](const std::string& text) -> std::optional<std::string> {
                if (is_ipv4(text) || is_ipv6(text)) return text;
                const auto address = listen_address_from(text);
                return address && address->port != 0 ? std::optional{to_string(*address)} : std::nullopt;
            },
            itself};
}

Form<ListenAddress> listen_address() {
    return {"a numeric address and a port, such as 0.0.0.0:443 or [::]:443",
            [](const std::string& text) { return listen_address_from(text); },
            [](const ListenAddress& address) { return to_string(address); },
            {},
            false,
            schema::matching("^.+:[0-9]{1,5}$")};
}

Form<ControlTarget> control_target() {
    return {"tcp://ADDRESS:PORT or dns://ADDRESS, such as tcp://10.0.0.1:53, with a numeric address",
            [](const std::string& text) { return control_target_from(text); },
            [](const ControlTarget& target) { return to_string(target); },
            {},
            false,
            schema::matching("^(tcp|dns)://.+$")};
}

Form<OriginUrl> origin_url() {
    return {"https://HOST[:PORT] or http://HOST[:PORT] without user, path, query or fragment",
            [](const std::string& text) { return origin_url_from(text); },
            [](const OriginUrl& url) { return to_string(url); },
            {},
            false,
            schema::matching("^[A-Za-z]+://[^/?#@]+/?$")};
}

Form<std::string> fingerprint() {
    return {"a SHA-256 of 64 hex digits, with or without colons",
            [](std::string text) -> std::optional<std::string> {
                std::erase(text, ':');
                for (char& c : text) {
                    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
                    if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) return std::nullopt;
                }
                return text.size() == 64 ? std::optional{text} : std::nullopt;
            },
            itself,
            {},
            false,
            schema::matching("^[0-9A-Fa-f:]{64,95}$")};
}

Form<std::string> alternative_name() {
    return with(schema::matching("^(DNS|URI|email):[^ ,]+$"),
                text_that("an alternative name such as DNS:cdn.example or URI:spiffe://example/cdn",
                          [](const std::string& text) {
                              const auto colon = text.find(':');
                              const std::string kind = text.substr(0, colon);
                              return (kind == "DNS" || kind == "URI" || kind == "email") && colon + 1 < text.size() &&
                                     text.size() <= 1024 && std::all_of(text.begin(), text.end(), [](char c) {
                                         return c > ' ' && c < '\x7f' && c != ',';
                                     });
                          }));
}

Form<ClientCertificates> client_certificates() {
    return choice<ClientCertificates>({{"none", ClientCertificates::none},
                                       {"optional", ClientCertificates::optional},
                                       {"required", ClientCertificates::required}});
}

Form<Untrusted> untrusted() { return choice<Untrusted>({{"serve", Untrusted::serve}, {"refuse", Untrusted::refuse}}); }

Form<TlsVersion> tls_version() {
    return choice<TlsVersion>({{"1.2", TlsVersion::tls1_2}, {"1.3", TlsVersion::tls1_3}});
}

}  // namespace nearhop::conf
