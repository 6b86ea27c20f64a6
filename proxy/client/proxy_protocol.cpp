#include "proxy/client/proxy_protocol.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace nearhop::client {
namespace {

using State = ProxyHeader::State;
using namespace std::string_view_literals;

constexpr auto signature = "\r\n\r\n\0\r\nQUIT\n"sv;
constexpr std::size_t longest_v1 = 107;
constexpr std::size_t longest_v2 = 4096;

std::optional<std::uint16_t> parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    const bool padded = text.size() > 1 && text.front() == '0';
    if (error != std::errc{} || end != text.data() + text.size() || padded) return std::nullopt;
    return port;
}

ProxyHeader parse_v1(std::string_view in) {
    const auto feed = in.substr(0, longest_v1).find("\r\n");
    if (feed == std::string_view::npos) return {in.size() >= longest_v1 ? State::malformed : State::more, 0, {}, 0};
    const ProxyHeader malformed{State::malformed, 0, {}, 0};
    const ProxyHeader local{State::complete, feed + 2, {}, 0};
    std::string_view line = in.substr(6, feed - 6);  // behind "PROXY "
    if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) return local;
    std::array<std::string_view, 5> parts;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const auto space = line.find(' ');
        if ((space == std::string_view::npos) != (i + 1 == parts.size())) return malformed;
        parts[i] = line.substr(0, space);
        if (space != std::string_view::npos) line.remove_prefix(space + 1);
    }
    const bool four = parts[0] == "TCP4";
    if (!four && parts[0] != "TCP6") return malformed;
    const auto source = geo::Address::parse(parts[1]);
    const auto target = geo::Address::parse(parts[2]);
    const auto port = parse_port(parts[3]);
    if (!source || !target || !port || !parse_port(parts[4])) return malformed;
    const auto dotted = [](std::string_view text) { return text.find(':') == std::string_view::npos; };
    if (dotted(parts[1]) != four || dotted(parts[2]) != four) return malformed;
    return {State::complete, feed + 2, source, *port};
}

/// Type, two bytes of length, value, and so on to the end (section 2.2.7). None of them is used; but a header whose
/// parts do not fit together was not made by a balancer of ours.
bool are_tlvs(std::string_view bytes) {
    while (bytes.size() >= 3) {
        const auto length = static_cast<std::size_t>(static_cast<unsigned char>(bytes[1])) << 8 |
                            static_cast<std::size_t>(static_cast<unsigned char>(bytes[2]));
        if (length > bytes.size() - 3) return false;
        bytes.remove_prefix(3 + length);
    }
    return bytes.empty();
}

/// Bytes of addresses by family and transport (section 2.2); nullopt: there is no such pair.
std::optional<std::size_t> address_bytes(unsigned family) {
    switch (family) {
        case 0x00: return 0;
        case 0x11:
        case 0x12: return 12;
        case 0x21:
        case 0x22: return 36;
        case 0x31:
        case 0x32: return 216;
        default: return std::nullopt;
    }
}

ProxyHeader parse_v2(std::string_view in) {
    if (in.size() < 16) return {};
    const auto byte = [&](std::size_t at) { return static_cast<unsigned>(static_cast<unsigned char>(in[at])); };
    const unsigned version = byte(12) >> 4;
    const unsigned command = byte(12) & 15;
    const unsigned family = byte(13);
    const std::size_t length = byte(14) << 8 | byte(15);
    const ProxyHeader malformed{State::malformed, 0, {}, 0};
    if (version != 2 || command > 1 || length > longest_v2) return malformed;
    if (in.size() < 16 + length) return {};
    ProxyHeader header{State::complete, 16 + length, {}, 0};
    if (command == 0) return header;  // LOCAL: the balancer's own health check
    const auto addresses = address_bytes(family);
    if (!addresses || length < *addresses) return malformed;
    if (family != 0x00 && !are_tlvs(in.substr(16 + *addresses, length - *addresses))) return malformed;
    if (family == 0x11) {
        header.source = geo::Address::v4(byte(16) << 24 | byte(17) << 16 | byte(18) << 8 | byte(19));
        header.source_port = static_cast<std::uint16_t>(byte(24) << 8 | byte(25));
    } else if (family == 0x21) {
        geo::Address::Bytes bytes{};
        for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(byte(16 + i));
        header.source = geo::Address{bytes};
        header.source_port = static_cast<std::uint16_t>(byte(48) << 8 | byte(49));
    }
    return header;
}

}  // namespace

ProxyHeader parse_proxy_header(std::string_view in) noexcept {
    const auto begins = [&](std::string_view with) {
        const auto shared = std::min(in.size(), with.size());
        return in.substr(0, shared) == with.substr(0, shared);
    };
    if (in.empty()) return {};
    if (begins(signature)) return in.size() < signature.size() ? ProxyHeader{} : parse_v2(in);
    if (begins("PROXY "sv)) return in.size() < 6 ? ProxyHeader{} : parse_v1(in);
    return {State::malformed, 0, {}, 0};
}

}  // namespace nearhop::client
