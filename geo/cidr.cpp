#include "geo/address.h"

#include <algorithm>
#include <charconv>
#include <iterator>

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

CidrTable::Position CidrTable::position_of(const Address& address) noexcept {
    Position position;
    for (std::size_t i = 0; i < 8; ++i) {
        position.high = position.high << 8 | address.bytes()[i];
        position.low = position.low << 8 | address.bytes()[i + 8];
    }
    return position;
}

void CidrTable::add(const Position& first, std::optional<std::uint32_t> value) {
    if (!stretches_.empty() && stretches_.back().first == first)
        stretches_.back().value = value;  // what began here is covered from its first address on
    else
        stretches_.push_back({first, value});
}

CidrTable::CidrTable(std::vector<std::pair<Cidr, std::uint32_t>> entries) {
    // Outer networks before those inside them; stable, so that of two equal ones the one given first is found.
    std::stable_sort(entries.begin(), entries.end(), [](const auto& left, const auto& right) {
        if (left.first.network != right.first.network) return left.first.network.bytes() < right.first.network.bytes();
        return left.first.bits < right.first.bits;
    });
    struct Open {
        Position last;
        std::uint32_t value;
    };
    std::vector<Open> open;  // networks that hold the present position, the innermost at the end
    const auto close = [&] {
        Position next = open.back().last;
        open.pop_back();
        if (++next.low == 0 && ++next.high == 0) return;  // the end of all addresses
        add(next, open.empty() ? std::nullopt : std::optional{open.back().value});
    };
    const Cidr* before = nullptr;
    for (const auto& [cidr, value] : entries) {
        if (before && before->network == cidr.network && before->bits == cidr.bits) continue;
        before = &cidr;
        const Position first = position_of(cidr.network);
        while (!open.empty() && open.back().last < first) close();
        Position last = first;
        if (cidr.bits < 128) last.low |= ~std::uint64_t{0} >> (cidr.bits > 64 ? cidr.bits - 64 : 0);
        if (cidr.bits < 64) last.high |= ~std::uint64_t{0} >> cidr.bits;
        add(first, value);
        open.push_back({last, value});
    }
    while (!open.empty()) close();
    stretches_.shrink_to_fit();
}

std::optional<std::uint32_t> CidrTable::find(const Address& address) const noexcept {
    const auto behind =
        std::upper_bound(stretches_.begin(), stretches_.end(), position_of(address),
                         [](const Position& wanted, const Stretch& stretch) { return wanted < stretch.first; });
    return behind == stretches_.begin() ? std::nullopt : std::prev(behind)->value;
}

}  // namespace nearhop::geo
