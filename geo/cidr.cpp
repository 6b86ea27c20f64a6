#include "geo/address.h"

#include <algorithm>
#include <charconv>

namespace nearhop::geo {
namespace {

constexpr unsigned v4_offset = 96;  // an IPv4 prefix of n bits is n + 96 bits in the 16-byte form

Address masked(const Address& address, unsigned bits) noexcept {
    Address::Bytes bytes = address.bytes();
    std::size_t whole = bits / 8;
    if (bits % 8 != 0) {
        bytes[whole] = static_cast<std::uint8_t>(bytes[whole] & (0xff00U >> (bits % 8)));
        ++whole;
    }
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(whole), bytes.end(), std::uint8_t{0});
    return Address{bytes};
}

/// Decimal digits only, as people write prefixes: no sign, no leading zero.
std::optional<unsigned> prefix_length(std::string_view text, unsigned most) noexcept {
    unsigned bits = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
    const bool padded = text.size() > 1 && text.front() == '0';
    if (error != std::errc{} || end != text.data() + text.size() || padded || bits > most) return std::nullopt;
    return bits;
}

}  // namespace

std::optional<Cidr> Cidr::parse(std::string_view text) noexcept {
    const std::size_t slash = text.find('/');
    const std::string_view address = text.substr(0, slash);
    const auto network = Address::parse(address);
    if (!network) return std::nullopt;
    if (slash == std::string_view::npos) return Cidr{*network, 128};

    const bool dotted = address.find(':') == std::string_view::npos;
    const auto length = prefix_length(text.substr(slash + 1), dotted ? 32 : 128);
    if (!length) return std::nullopt;
    const Cidr cidr{*network, dotted ? *length + v4_offset : *length};
    if (masked(cidr.network, cidr.bits) != cidr.network) return std::nullopt;
    return cidr;
}

bool Cidr::contains(const Address& address) const noexcept { return masked(address, bits) == network; }

bool Cidr::is_everything() const noexcept { return bits == 0 || (bits == v4_offset && network.is_v4()); }

CidrTable::CidrTable(std::vector<std::pair<Cidr, std::uint32_t>> entries) {
    // Stable, so that of two equal networks the one given first is found.
    std::stable_sort(entries.begin(), entries.end(), [](const auto& left, const auto& right) {
        if (left.first.bits != right.first.bits) return left.first.bits > right.first.bits;
        return left.first.network.bytes() < right.first.network.bytes();
    });
    for (const auto& [cidr, value] : entries) {
        if (lengths_.empty() || lengths_.back().bits != cidr.bits) lengths_.push_back({cidr.bits, {}});
        lengths_.back().networks.emplace_back(cidr.network, value);
    }
}

std::optional<std::uint32_t> CidrTable::find(const Address& address) const noexcept {
    for (const auto& [bits, networks] : lengths_) {
        const Address wanted = masked(address, bits);
        const auto found = std::lower_bound(
            networks.begin(), networks.end(), wanted,
            [](const auto& entry, const Address& network) { return entry.first.bytes() < network.bytes(); });
        if (found != networks.end() && found->first == wanted) return found->second;
    }
    return std::nullopt;
}

}  // namespace nearhop::geo
