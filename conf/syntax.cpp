#include "conf/syntax.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace nearhop::conf {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// The bytes of a numeric address, 4 or 16 of them used; 0 when it is none.
std::size_t address_bytes(std::string_view text, std::array<unsigned char, 16>& bytes) {
    if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) return 0;
    const std::string terminated{text};
    if (inet_pton(AF_INET, terminated.c_str(), bytes.data()) == 1) return 4;
    if (inet_pton(AF_INET6, terminated.c_str(), bytes.data()) == 1) return 16;
    return 0;
}

bool is_label(std::string_view label) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    return std::all_of(label.begin(), label.end(),
                       [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_'; });
}

std::optional<std::uint16_t> port_from(std::string_view text) {
    const auto port = integer_from(text);
    if (!port || *port > 65535) return std::nullopt;
    return static_cast<std::uint16_t>(*port);
}

struct HostAndPort {
    std::string host;  // IPv6 without brackets
    std::optional<std::uint16_t> port;
};

std::optional<HostAndPort> host_and_port_from(std::string_view text) {
    HostAndPort result;
    std::string_view rest;
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos || !is_ipv6(text.substr(1, end - 1))) return std::nullopt;
        result.host = text.substr(1, end - 1);
        std::transform(result.host.begin(), result.host.end(), result.host.begin(), lower);
        rest = text.substr(end + 1);
    } else {
        const auto colon = text.find(':');
        const auto host = host_name_from(text.substr(0, colon));
        if (!host) return std::nullopt;
        result.host = *host;
        if (colon != std::string_view::npos) rest = text.substr(colon);
    }
    if (rest.empty()) return result;
    result.port = rest.front() == ':' ? port_from(rest.substr(1)) : std::nullopt;
    if (!result.port) return std::nullopt;
    return result;
}

std::string bracketed(const std::string& host) { return host.find(':') == std::string::npos ? host : '[' + host + ']'; }

using Unit = std::pair<std::string_view, std::uint64_t>;

/// From the largest unit to the smallest, as the printers need it.
constexpr std::array<Unit, 4> duration_units{{{"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr std::array<Unit, 4> size_units{{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}};

std::optional<std::uint64_t> quantity_from(std::string_view text, const std::array<Unit, 4>& units) {
    const auto digits = static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
    const auto number = integer_from(text.substr(0, digits));
    for (const auto& [name, factor] : units)
        if (number && text.substr(digits) == name && *number <= std::numeric_limits<std::int64_t>::max() / factor)
            return *number * factor;
    return std::nullopt;
}

std::string quantity_to_string(std::uint64_t value, const std::array<Unit, 4>& units) {
    for (const auto& [name, factor] : units)
        if (value != 0 && value % factor == 0) return std::to_string(value / factor) + std::string{name};
    return "0";
}

}  // namespace

std::optional<Network> network_from(std::string_view text) {
    const auto slash = text.find('/');
    std::array<unsigned char, 16> bytes{};
    const std::size_t size = address_bytes(text.substr(0, slash), bytes);
    if (size == 0) return std::nullopt;
    std::size_t bits = size * 8;
    if (slash != std::string_view::npos) {
        const auto wanted = integer_from(text.substr(slash + 1));
        if (!wanted || *wanted > bits) return std::nullopt;
        bits = static_cast<std::size_t>(*wanted);
    }
    for (std::size_t bit = bits; bit < size * 8; ++bit)
        if ((bytes[bit / 8] & (0x80U >> (bit % 8))) != 0) return std::nullopt;

    // ::ffff:0:0/96 is all of IPv4 under another name, and so is every wider network around it.
    constexpr std::array<unsigned char, 16> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    bool holds_mapped = size == 16 && bits <= 96;
    for (std::size_t bit = 0; bit < bits && holds_mapped; ++bit)
        holds_mapped = ((bytes[bit / 8] ^ mapped[bit / 8]) & (0x80U >> (bit % 8))) == 0;
    return Network{std::string{text}, bits == 0 || holds_mapped};
}

bool is_ipv4(std::string_view text) {
    std::array<unsigned char, 16> bytes{};
    return address_bytes(text, bytes) == 4;
}

bool is_ipv6(std::string_view text) {
    std::array<unsigned char, 16> bytes{};
    return address_bytes(text, bytes) == 16;
}

std::optional<std::string> host_name_from(std::string_view text) {
    if (text.ends_with('.')) text.remove_suffix(1);
    if (text.empty() || text.size() > 253) return std::nullopt;
    std::string_view last;
    for (std::size_t from = 0; from <= text.size(); from += last.size() + 1) {
        last = text.substr(from, text.find('.', from) - from);
        if (!is_label(last)) return std::nullopt;
    }
    // A name whose last label is a number would be read as an IPv4 address by some and as a name by others.
    if (std::all_of(last.begin(), last.end(), is_digit) && !is_ipv4(text)) return std::nullopt;
    std::string name{text};
    std::transform(name.begin(), name.end(), name.begin(), lower);
    return name;
}

std::optional<std::string> site_host_from(std::string_view text) {
    if (!text.starts_with("*.")) return host_name_from(text);
    const auto name = host_name_from(text.substr(2));
    if (!name || is_ipv4(*name)) return std::nullopt;
    return "*." + *name;
}

std::optional<std::string> host_field_from(std::string_view text) {
    const auto parsed = host_and_port_from(text);
    if (!parsed) return std::nullopt;
    return bracketed(parsed->host) + (parsed->port ? ':' + std::to_string(*parsed->port) : std::string{});
}

std::optional<ListenAddress> listen_address_from(std::string_view text) {
    const auto parsed = host_and_port_from(text);
    if (!parsed || !parsed->port || !(is_ipv4(parsed->host) || is_ipv6(parsed->host))) return std::nullopt;
    return ListenAddress{parsed->host, *parsed->port};
}

std::string to_string(const ListenAddress& address) {
    return bracketed(address.address) + ':' + std::to_string(address.port);
}

bool overlap(const ListenAddress& left, const ListenAddress& right) {
    if (left.port != right.port || left.port == 0) return false;
    using Bytes = std::array<unsigned char, 16>;
    const auto bytes_of = [](const std::string& text) {
        Bytes bytes{};
        if (inet_pton(AF_INET, text.c_str(), bytes.data() + 12) == 1)
            bytes[10] = bytes[11] = 0xff;  // mapped: the same socket either way
        else
            inet_pton(AF_INET6, text.c_str(), bytes.data());
        return bytes;
    };
    const Bytes one = bytes_of(left.address), other = bytes_of(right.address);
    const Bytes any{}, any_v4 = bytes_of("0.0.0.0");
    if (one == other || one == any || other == any) return true;
    const auto is_v4 = [&](const Bytes& bytes) {
        return std::equal(bytes.begin(), bytes.begin() + 12, any_v4.begin());
    };
    return is_v4(one) && is_v4(other) && (one == any_v4 || other == any_v4);
}

std::optional<ControlTarget> control_target_from(std::string_view text) {
    using Kind = ControlTarget::Kind;
    constexpr std::string_view tcp = "tcp://", dns = "dns://";
    const auto rest = text.substr(std::min(text.size(), tcp.size()));
    auto address = listen_address_from(rest);
    if (text.starts_with(tcp))
        return address && address->port != 0 ? std::optional{ControlTarget{Kind::tcp, *address}} : std::nullopt;
    if (!text.starts_with(dns)) return std::nullopt;
    if (!address && (is_ipv4(rest) || is_ipv6(rest))) address = ListenAddress{std::string{rest}, 53};
    return address && address->port != 0 ? std::optional{ControlTarget{Kind::dns, *address}} : std::nullopt;
}

std::string to_string(const ControlTarget& target) {
    return (target.kind == ControlTarget::Kind::tcp ? "tcp://" : "dns://") + to_string(target.address);
}

std::optional<OriginUrl> origin_url_from(std::string_view text) {
    OriginUrl url;
    const auto scheme_end = text.find("://");
    if (scheme_end == std::string_view::npos) return std::nullopt;
    std::string scheme{text.substr(0, scheme_end)};
    std::transform(scheme.begin(), scheme.end(), scheme.begin(), lower);
    if (scheme != "https" && scheme != "http") return std::nullopt;
    url.tls = scheme == "https";
    text.remove_prefix(scheme_end + 3);
    if (text.ends_with('/')) text.remove_suffix(1);
    auto parsed = host_and_port_from(text);
    if (!parsed || parsed->port == 0) return std::nullopt;
    url.host = std::move(parsed->host);
    url.port = parsed->port.value_or(url.tls ? 443 : 80);
    return url;
}

std::string to_string(const OriginUrl& url) {
    return (url.tls ? "https://" : "http://") + bracketed(url.host) + ':' + std::to_string(url.port);
}

bool is_token(std::string_view text) {
    constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
        return is_letter(c) || is_digit(c) || marks.find(c) != std::string_view::npos;
    });
}

std::string folded(std::string_view name) {
    std::string result{name};
    std::transform(result.begin(), result.end(), result.begin(), [](char c) { return c == '_' ? '-' : lower(c); });
    return result;
}

bool is_field_value(std::string_view text) {
    return !text.empty() && text.front() != ' ' && text.back() != ' ' &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

bool is_path(std::string_view text) {
    return text.starts_with('/') && text.size() <= 2048 &&
           std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
}

std::optional<std::uint64_t> integer_from(std::string_view text) {
    std::uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (text.empty() || error != std::errc{} || stop != end) return std::nullopt;
    return value;
}

std::optional<milliseconds> duration_from(std::string_view text) {
    const auto value = quantity_from(text, duration_units);
    if (!value) return std::nullopt;
    return milliseconds{static_cast<std::int64_t>(*value)};
}

std::string to_string(milliseconds duration) {
    return duration == 0ms ? "0s" : quantity_to_string(static_cast<std::uint64_t>(duration.count()), duration_units);
}

std::optional<std::uint64_t> size_from(std::string_view text) {
    if (text == "0") return 0;
    return quantity_from(text, size_units);
}

std::string size_to_string(std::uint64_t bytes) { return quantity_to_string(bytes, size_units); }

std::string shown(std::string_view text) {
    constexpr std::size_t limit = 60;
    std::string result{text.substr(0, limit)};
    for (char& c : result)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    return '"' + result + (text.size() > limit ? "...\"" : "\"");
}

}  // namespace nearhop::conf
