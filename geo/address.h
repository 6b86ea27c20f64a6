#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct sockaddr;

namespace nearhop::geo {

/// An IP address in one form: 16 bytes, IPv4 as ::ffff:a.b.c.d. Trivially copyable.
class Address {
public:
    using Bytes = std::array<std::uint8_t, 16>;

    constexpr Address() noexcept = default;  ///< ::
    explicit constexpr Address(const Bytes& bytes) noexcept : bytes_{bytes} {}
    static constexpr Address v4(std::uint32_t host_order) noexcept {
        return Address{Bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, static_cast<std::uint8_t>(host_order >> 24),
                             static_cast<std::uint8_t>(host_order >> 16), static_cast<std::uint8_t>(host_order >> 8),
                             static_cast<std::uint8_t>(host_order)}};
    }

    /// Dotted IPv4 or IPv6 text, whole; no brackets, ports or zone ids. No allocation.
    static std::optional<Address> parse(std::string_view text) noexcept;
    static std::optional<Address> from(const sockaddr* address) noexcept;  ///< AF_INET and AF_INET6

    constexpr bool is_v4() const noexcept {
        for (int i = 0; i < 10; ++i)
            if (bytes_[static_cast<std::size_t>(i)] != 0) return false;
        return bytes_[10] == 0xff && bytes_[11] == 0xff;
    }
    constexpr const Bytes& bytes() const noexcept { return bytes_; }
    std::string text() const;  ///< "192.0.2.1" or RFC 5952 text

    /// The inner IPv4 of mapped, compatible, NAT64, 6to4 and Teredo addresses; any other address
    /// unchanged.
    Address canonical() const noexcept;

    /// True for ranges that have no location: private, loopback, documentation, multicast ... (RFC 6890).
    /// Expects a canonical address.
    bool is_special() const noexcept;

    friend constexpr bool operator==(const Address&, const Address&) noexcept = default;

private:
    Bytes bytes_{};
};

/// A network; IPv4 prefixes are stored as mapped ones (+96).
struct Cidr {
    Address network;
    unsigned bits = 128;  ///< 0 .. 128, in the 16-byte form

    /// "10.0.0.0/8", "2001:db8::/32" or a bare address. Host bits set are refused: they are usually a typing error.
    static std::optional<Cidr> parse(std::string_view text) noexcept;
    bool contains(const Address& address) const noexcept;
    bool is_everything() const noexcept;  ///< 0.0.0.0/0 or ::/0
};

/// Longest-prefix match over a fixed set of networks. Built once, then read from any thread.
class CidrTable {
public:
    CidrTable() = default;
    explicit CidrTable(std::vector<std::pair<Cidr, std::uint32_t>> entries);

    /// The value of the longest network that holds `address`; no allocation, one binary search.
    std::optional<std::uint32_t> find(const Address& address) const noexcept;
    bool contains(const Address& address) const noexcept { return find(address).has_value(); }
    bool empty() const noexcept { return stretches_.empty(); }

private:
    /// An address as a number.
    struct Position {
        std::uint64_t high = 0, low = 0;
        auto operator<=>(const Position&) const = default;
    };
    /// All addresses from here to the next one have the same answer: networks nest or are apart, they never overlap.
    struct Stretch {
        Position first;
        std::optional<std::uint32_t> value;
    };
    static Position position_of(const Address& address) noexcept;
    void add(const Position& first, std::optional<std::uint32_t> value);

    std::vector<Stretch> stretches_;  ///< by position
};

}  // namespace nearhop::geo
