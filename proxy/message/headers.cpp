#include "proxy/message/headers.h"

#include "proxy/message/forwarded.h"
#include "proxy/message/line_writer.h"
#include "proxy/wire/head.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <charconv>

namespace nearhop::message {

using wire::Name;

ConnectionNames::ConnectionNames(std::span<const wire::Field> fields) {
    for (const auto& field : fields) {
        if (field.id != Name::connection) continue;
        wire::for_each_token(field.value, [&](std::string_view token) {
            if (!wire::equal_ignoring_case(token, "close") && !wire::equal_ignoring_case(token, "keep-alive"))
                names_.push_back(token);
        });
    }
}

bool ConnectionNames::lists(std::string_view name) const noexcept {
    for (const auto listed : names_)
        if (wire::equal_ignoring_case(listed, name)) return true;
    return false;
}

bool is_hop_by_hop(Name name) noexcept {
    switch (name) {
        case Name::connection:
        case Name::keep_alive:
        case Name::proxy_connection:
        case Name::te:
        case Name::trailer:
        case Name::transfer_encoding:
        case Name::upgrade: return true;
        default: return false;
    }
}

namespace {

std::string_view version_in_via(Protocol protocol) noexcept {
    return protocol == Protocol::http2 ? "2.0" : protocol == Protocol::http10 ? "1.0" : "1.1";
}

/// Fields that the proxy writes itself, so that what a client sent under these names must go.
bool is_ours(Name name, bool trusted) noexcept {
    switch (name) {
        case Name::host:
        case Name::content_length:
        case Name::x_forwarded_for:
        case Name::x_request_id:
        case Name::forwarded:
        case Name::expect:
        case Name::x_nearhop:
        case Name::underscore_twin:
        case Name::x_forwarded_proto:
        case Name::x_forwarded_host: return true;
        case Name::x_forwarded_other:
        case Name::x_real_ip:
        case Name::cloudfront_viewer: return !trusted;
        default: return false;
    }
}

/// Fields that the proxy or the origin relies on: a client cannot have them removed by listing them in Connection
/// (CVE-2024-45410).
bool may_be_listed(Name name) noexcept {
    switch (name) {
        case Name::idempotency_key:  // a request that may be repeated must be known again where it is repeated
        case Name::via:
        case Name::cdn_loop:
        case Name::x_forwarded_proto:
        case Name::x_forwarded_host:
        case Name::x_forwarded_other:
        case Name::x_real_ip:
        case Name::cloudfront_viewer: return false;
        default: return true;
    }
}

/// The same name for an origin that cannot tell '_' from '-' (CGI and its heirs).
bool is_twin(std::string_view left, std::string_view right) noexcept {
    if (left.size() != right.size()) return false;
    const auto folded = [](char c) { return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return std::equal(left.begin(), left.end(), right.begin(), [&](char a, char b) { return folded(a) == folded(b); });
}

bool has_twin(std::span<const std::string> names, std::string_view name) noexcept {
    return std::any_of(names.begin(), names.end(), [&](const std::string& known) { return is_twin(name, known); });
}

}  // namespace

MaxForwards max_forwards(const Request& request) noexcept {
    MaxForwards found;
    if (request.method != "OPTIONS") return found;
    for (const auto& field : request.fields) {
        if (field.id != Name::max_forwards) continue;
        std::int64_t left = 0;
        const char* const last = field.value.data() + field.value.size();
        const auto [end, error] = std::from_chars(field.value.data(), last, left);
        if (found.left || error != std::errc{} || end != last || left < 0 || field.value.front() == '-')
            found.malformed = true;
        found.left = static_cast<std::uint64_t>(left);
    }
    return found;
}

std::string_view host_sent(const Request& request, const steering::SiteTable& site,
                           const shared::OriginInfo& origin) noexcept {
    std::string_view host = site.host_header;
    if (host == "client")
        host = request.authority;
    else if (host == "origin")
        host = origin.host_field;
    else if (host == "server_name")
        host = origin.server_name_field;
    // An HTTP/1.0 client may leave Host out; HTTP/1.1 towards the origin may not (RFC 9112 section 3.2).
    return host.empty() ? std::string_view{origin.host_field} : host;
}

unsigned passes(std::span<const wire::Field> fields) noexcept {
    unsigned count = 0;
    for (const auto& field : fields) {
        if (field.id != Name::via && field.id != Name::cdn_loop) continue;
        wire::for_each_token(field.value, [&](std::string_view entry) {
            // Via: [protocol/]version, blanks, then who; CDN-Loop: who, then parameters.
            if (field.id == Name::via) {
                entry.remove_prefix(std::min(entry.find_first_of(" \t"), entry.size()));
                entry.remove_prefix(std::min(entry.find_first_not_of(" \t"), entry.size()));
            }
            if (wire::equal_ignoring_case(entry.substr(0, entry.find_first_of(" \t;")), "nearhop")) ++count;
        });
    }
    return count;
}

void write_request_head(const Request& request, const Forwarding& how, const steering::SiteTable& site,
                        const shared::OriginInfo& origin, wire::Buffer& out) {
    const LineWriter line{out};
    const bool via = origin.via.value_or(site.via);
    line(request.method, " ", how.target.empty() ? request.target : how.target,
         " HTTP/1.1\r\nHost: ", host_sent(request, site, origin), "\r\n");

    const ConnectionNames listed{request.fields};
    const bool trailers = request.framing.kind == wire::Framing::Kind::chunked;
    const bool options = request.method == "OPTIONS";
    for (const auto& field : request.fields) {
        if (is_hop_by_hop(field.id) || is_ours(field.id, how.trusted)) continue;
        if (field.id == Name::underscored && !how.keep_underscores) continue;
        if (listed.lists(field.name) && may_be_listed(field.id)) continue;
        if (options && field.id == Name::max_forwards) continue;
        if (!how.websocket_key.empty() && wire::equal_ignoring_case(field.name, "sec-websocket-key")) continue;
        if (has_twin(how.secret_headers, field.name) || has_twin(how.identity_headers, field.name)) continue;
        if (has_twin(origin.own_fields, field.name) || (field.id == Name::via && !via)) continue;
        line(field.name, ": ", field.value, "\r\n");
    }
    if (const auto hops = max_forwards(request).left; hops && *hops > 0) {
        char digits[24];
        const auto end = std::to_chars(digits, digits + sizeof digits, *hops - 1).ptr;
        line("Max-Forwards: ", std::string_view{digits, static_cast<std::size_t>(end - digits)}, "\r\n");
    }
    if (request.expects_continue) line("Expect: 100-continue\r\n");
    if (via)
        line("Via: ", version_in_via(request.protocol), " nearhop\r\n");
    else
        line("CDN-Loop: nearhop\r\n");
    line("X-Request-Id: ", how.request_id, "\r\n", origin.header_lines);

    if (!how.identity.empty()) line(how.identity);
    write_forwarded(request, how, out);
    if (!how.upgrade.empty()) line("Connection: Upgrade\r\nUpgrade: ", how.upgrade, "\r\n");
    if (!how.websocket_key.empty()) line("Sec-WebSocket-Key: ", how.websocket_key, "\r\n");

    if (trailers) {
        line("Transfer-Encoding: chunked\r\n\r\n");
    } else if (request.framing.kind == wire::Framing::Kind::length) {
        char digits[24];
        const auto end = std::to_chars(digits, digits + sizeof digits, request.framing.length).ptr;
        line("Content-Length: ", std::string_view{digits, static_cast<std::size_t>(end - digits)}, "\r\n\r\n");
    } else if (request.method == "POST" || request.method == "PUT" || request.method == "PATCH") {
        line("Content-Length: 0\r\n\r\n");  // RFC 9110 section 8.6: expected where the method gives a body a meaning
    } else {
        line("\r\n");
    }
}

std::string_view chosen_upgrade(const Request& request, const std::vector<std::string>& allowed) {
    std::string_view chosen;
    wire::for_each_token(request.upgrade, [&](std::string_view token) {
        for (const auto& protocol : allowed) {
            if (!chosen.empty() || !wire::equal_ignoring_case(token, protocol)) continue;
            if (protocol != "websocket" || request.method == "GET") chosen = protocol;
        }
    });
    return chosen;
}

bool switches_to(std::span<const wire::Field> fields, std::string_view protocol) {
    unsigned named = 0;
    bool other = false;
    bool listed = false;
    for (const auto& field : fields) {
        if (field.id != Name::upgrade && field.id != Name::connection) continue;
        wire::for_each_token(field.value, [&](std::string_view token) {
            if (field.id == Name::connection) {
                listed = listed || wire::equal_ignoring_case(token, "upgrade");
            } else if (wire::equal_ignoring_case(token, protocol)) {
                ++named;
            } else {
                other = true;
            }
        });
    }
    return listed && named == 1 && !other;
}

std::string websocket_accept(std::string_view key) {
    const std::string text = std::string{key} + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
    unsigned char encoded[4 * ((SHA_DIGEST_LENGTH + 2) / 3) + 1];
    const int size = EVP_EncodeBlock(encoded, digest, sizeof digest);
    return {reinterpret_cast<const char*>(encoded), static_cast<std::size_t>(size)};
}

void write_response_fields(std::span<const wire::Field> fields, wire::Buffer& out) {
    const LineWriter line{out};
    for_each_response_field(fields, [&](const wire::Field& field) { line(field.name, ": ", field.value, "\r\n"); });
}

namespace {

/// Fields whose meaning a recipient may have acted on before the trailers came, or must not learn so late.
bool belongs_in_head(std::string_view name) noexcept {
    static constexpr std::string_view names[] = {"age",
                                                 "authorization",
                                                 "cache-control",
                                                 "content-encoding",
                                                 "content-range",
                                                 "cookie",
                                                 "date",
                                                 "expires",
                                                 "location",
                                                 "max-forwards",
                                                 "pragma",
                                                 "range",
                                                 "proxy-authorization",
                                                 "set-cookie",
                                                 "vary",
                                                 "warning",
                                                 "if-match",
                                                 "if-none-match",
                                                 "if-range",
                                                 "if-modified-since",
                                                 "www-authenticate"};
    return std::any_of(std::begin(names), std::end(names),
                       [&](std::string_view known) { return is_twin(name, known); });
}

bool is_withheld(std::string_view name, const TrailerRules& rules) noexcept {
    return belongs_in_head(name) || has_twin(rules.secret_headers, name) || has_twin(rules.identity_headers, name) ||
           has_twin(rules.own_fields, name) || (!rules.agent_header.empty() && is_twin(name, rules.agent_header));
}

}  // namespace

bool filter_trailers(std::string_view trailers, std::span<const wire::Field> fields, const TrailerRules& rules,
                     std::string& out) {
    if (trailers.empty()) return true;
    const ConnectionNames listed{fields};
    while (!trailers.empty()) {
        const auto end = trailers.find("\r\n");
        if (end == std::string_view::npos) return false;
        const auto text = trailers.substr(0, end);
        trailers.remove_prefix(end + 2);
        const auto colon = text.find(':');
        if (colon == std::string_view::npos || colon == 0) return false;
        const auto name = text.substr(0, colon);
        if (!std::all_of(name.begin(), name.end(), wire::is_token_char)) return false;
        const auto id = wire::classify(name);
        const bool passes =
            id == Name::other || id == Name::accept || (id == Name::underscored && rules.keep_underscores);
        if (passes && !is_withheld(name, rules) && !listed.lists(name)) {
            out += text;
            out += "\r\n";
        }
    }
    return true;
}

}  // namespace nearhop::message
