#include "proxy/steering/forwarded.h"

#include "proxy/wire/head.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

namespace nearhop::steering {
namespace {

constexpr std::size_t longest_identifier = 64;

/// RFC 7239 section 6.3; others' longer ones tell nobody anything.
bool is_identifier(std::string_view text) noexcept {
    if (wire::equal_ignoring_case(text, "unknown")) return true;
    if (text.size() < 2 || text.size() > longest_identifier || text[0] != '_') return false;
    return std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    });
}

/// A quoted string with nothing behind its end.
bool is_quoted(std::string_view value) noexcept {
    if (value.size() < 2 || value.front() != '"') return false;
    std::size_t at = 1;
    while (at < value.size() && value[at] != '"') at += value[at] == '\\' ? 2 : 1;
    return at + 1 == value.size();
}

/// Where quoted pairs would have to be undone there is nothing that anybody means.
std::string_view unquoted(std::string_view value) noexcept {
    if (value.front() != '"') return value;
    value = value.substr(1, value.size() - 2);
    return value.find('\\') == value.npos ? value : std::string_view{};
}

}  // namespace

std::string_view trimmed(std::string_view text) noexcept {
    const auto first = text.find_first_not_of(" \t");
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool is_port(std::string_view text) noexcept {
    if (text.size() > 5) return false;
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc{} && end == text.data() + text.size() && port != 0;
}

std::string_view cut_item(std::string_view& rest, char separator, bool quotes) noexcept {
    std::size_t at = rest.find(separator);
    if (quotes && rest.substr(0, at).find('"') != rest.npos) {
        bool inside = false;
        for (at = 0; at < rest.size() && (inside || rest[at] != separator); ++at) {
            if (rest[at] == '"')
                inside = !inside;
            else if (inside && rest[at] == '\\')
                ++at;
        }
    }
    at = std::min(at, rest.size());
    const auto item = trimmed(rest.substr(0, at));
    rest.remove_prefix(std::min(at + 1, rest.size()));
    return item;
}

bool closes_quotes(std::string_view line) noexcept {
    bool inside = false;
    for (std::size_t at = 0; at < line.size(); ++at) {
        if (line[at] == '"')
            inside = !inside;
        else if (inside && line[at] == '\\')
            ++at;
    }
    return !inside;
}

Node parse_node(std::string_view text) noexcept {
    if (const auto address = geo::Address::parse(text)) return {address, text, {}};
    std::string_view inner = text;
    std::string_view port;
    const bool bracketed = !text.empty() && text.front() == '[';
    if (!bracketed || text.back() != ']') {
        const auto colon = text.rfind(':');
        // Without brackets a second colon makes it an IPv6 address, which was none.
        const bool one = colon != text.npos && (bracketed || text.find(':') == colon);
        if (one && is_port(text.substr(colon + 1))) {
            inner = text.substr(0, colon);
            port = text.substr(colon + 1);
        }
    }
    if (bracketed && inner.size() > 2 && inner.back() == ']') {
        inner = inner.substr(1, inner.size() - 2);
        if (inner.find(':') == inner.npos) return {};  // brackets are for IPv6
    }
    if (const auto address = geo::Address::parse(inner)) return {address, inner, port};
    return {std::nullopt, is_identifier(inner) ? inner : std::string_view{}, {}};
}

bool has_parameter(std::string_view& element) noexcept {
    element.remove_prefix(std::min(element.find_first_not_of("; \t"), element.size()));
    return !element.empty();
}

bool cut_parameter(std::string_view& element, std::string_view& name, std::string_view& value) noexcept {
    const auto parameter = cut_item(element, ';', true);
    const auto equals = parameter.find('=');
    if (equals == 0 || equals == parameter.npos || equals + 1 == parameter.size()) return false;
    name = parameter.substr(0, equals);
    value = parameter.substr(equals + 1);
    if (!std::all_of(name.begin(), name.end(), wire::is_token_char)) return false;
    if (value.front() == '"') return is_quoted(value);
    return std::all_of(value.begin(), value.end(), [](char c) { return c > ' ' && c < 0x7f && c != '"' && c != '\\'; });
}

std::optional<ForwardedElement> parse_element(std::string_view element) noexcept {
    ForwardedElement read;
    bool proto = false, host = false;
    while (has_parameter(element)) {
        std::string_view name, value;
        if (!cut_parameter(element, name, value)) return std::nullopt;
        const auto take = [&](std::string_view wanted, std::string_view& slot, bool& seen) {
            if (!wire::equal_ignoring_case(name, wanted)) return true;
            slot = unquoted(value);
            return !std::exchange(seen, true);
        };
        if (!take("for", read.node, read.has_node) || !take("proto", read.proto, proto) ||
            !take("host", read.host, host))
            return std::nullopt;
    }
    return read;
}

}  // namespace nearhop::steering
