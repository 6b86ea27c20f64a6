#include "geo/address.h"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>

namespace nearhop::geo {
namespace {

constexpr std::uint32_t big_endian(const std::uint8_t* bytes) noexcept {
    return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
}

/// The leading bytes of an IPv6 network; prefixes that end inside a byte carry the rest in `bits`.
struct Prefix {
    std::array<std::uint8_t, 16> bytes;
    unsigned bits;
};

constexpr bool starts_with(const Address::Bytes& bytes, const Prefix& prefix) noexcept {
    const std::size_t whole = prefix.bits / 8;
    for (std::size_t i = 0; i < whole; ++i)
        if (bytes[i] != prefix.bytes[i]) return false;
    const unsigned rest = prefix.bits % 8;
    return rest == 0 || ((bytes[whole] ^ prefix.bytes[whole]) >> (8 - rest)) == 0;
}

// The ways in which an IPv6 address carries an IPv4 address.
constexpr Prefix compatible{{}, 96};
constexpr Prefix translated{{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0}, 96};
constexpr Prefix nat64{{0, 0x64, 0xff, 0x9b}, 96};
constexpr Prefix six_to_four{{0x20, 0x02}, 16};
constexpr Prefix teredo{{0x20, 0x01, 0, 0}, 32};

struct Range4 {
    std::uint32_t network;
    unsigned bits;
};

constexpr Range4 special4[] = {
    {0x00000000, 8},   // "this network"
    {0x0a000000, 8},   // private
    {0x64400000, 10},  // carrier-grade NAT
    {0x7f000000, 8},   // loopback
    {0xa9fe0000, 16},  // link-local
    {0xac100000, 12},  // private
    {0xc0000000, 24},  // IETF protocol assignments
    {0xc0000200, 24},  // documentation
    {0xc0586300, 24},  // 6to4 relays, withdrawn
    {0xc0a80000, 16},  // private
    {0xc6120000, 15},  // benchmarking
    {0xc6336400, 24},  // documentation
    {0xcb007100, 24},  // documentation
    {0xe0000000, 3},   // multicast, reserved, broadcast
};

constexpr Prefix special6[] = {
    {{}, 128},                                                // ::
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128},  // ::1
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 48},                        // NAT64 inside one network
    {{1, 0}, 64},                                             // discard
    {{0x20, 0x01, 0x0d, 0xb8}, 32},                           // documentation
    {{0x3f, 0xff, 0x00}, 20},                                 // documentation
    {{0x5f, 0x00}, 16},                                       // segment routing
    {{0xfc}, 7},                                              // unique local
    {{0xfe, 0x80}, 10},                                       // link-local
    {{0xfe, 0xc0}, 10},                                       // site-local
    {{0xff}, 8},                                              // multicast
};

}  // namespace

std::optional<Address> Address::parse(std::string_view text) noexcept {
    char copy[INET6_ADDRSTRLEN];  // inet_pton wants a terminator
    if (text.size() >= sizeof copy || text.find('\0') != std::string_view::npos) return std::nullopt;
    *std::copy(text.begin(), text.end(), copy) = '\0';
    if (text.find(':') == std::string_view::npos) {
        in_addr v4_bytes{};
        if (inet_pton(AF_INET, copy, &v4_bytes) != 1) return std::nullopt;
        return v4(ntohl(v4_bytes.s_addr));
    }
    Bytes bytes{};
    if (inet_pton(AF_INET6, copy, bytes.data()) != 1) return std::nullopt;
    return Address{bytes};
}

std::optional<Address> Address::from(const sockaddr* address) noexcept {
    // Copied, because the caller's storage need not be aligned for, or declared as, the type that its family names.
    if (address->sa_family == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, address, sizeof in);
        return v4(ntohl(in.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        sockaddr_in6 in{};
        std::memcpy(&in, address, sizeof in);
        Bytes bytes{};
        std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
        return Address{bytes};
    }
    return std::nullopt;
}

std::string Address::text() const {
    if (is_v4()) {  // once per request: inet_ntop() goes through sprintf
        std::string dotted;
        for (std::size_t i = 12; i < 16; ++i) {
            if (i != 12) dotted += '.';
            char digits[3];
            dotted.append(digits, std::to_chars(digits, std::end(digits), bytes_[i]).ptr);
        }
        return dotted;
    }
    char out[INET6_ADDRSTRLEN];
    return inet_ntop(AF_INET6, bytes_.data(), out, sizeof out);
}

Address Address::canonical() const noexcept {
    if (is_v4()) return *this;
    const std::uint8_t* bytes = bytes_.data();
    if (starts_with(bytes_, compatible)) {
        const std::uint32_t inner = big_endian(bytes + 12);
        return inner <= 1 ? *this : v4(inner);  // :: and ::1 are addresses of their own
    }
    if (starts_with(bytes_, translated) || starts_with(bytes_, nat64)) return v4(big_endian(bytes + 12));
    if (starts_with(bytes_, six_to_four)) return v4(big_endian(bytes + 2));
    if (starts_with(bytes_, teredo)) return v4(~big_endian(bytes + 12));
    return *this;
}

bool Address::is_special() const noexcept {
    if (is_v4()) {
        const std::uint32_t address = big_endian(bytes_.data() + 12);
        return std::any_of(std::begin(special4), std::end(special4), [address](const Range4& range) {
            return (address ^ range.network) >> (32 - range.bits) == 0;
        });
    }
    return std::any_of(std::begin(special6), std::end(special6),
                       [this](const Prefix& prefix) { return starts_with(bytes_, prefix); });
}

}  // namespace nearhop::geo
