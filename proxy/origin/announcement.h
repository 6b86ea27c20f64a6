#pragma once

#include "geo/address.h"

#include <array>
#include <cstdint>
#include <string_view>

namespace nearhop::origin {

/// The PROXY protocol header, version 2, that a connection to an origin begins with (haproxy.org proxy-protocol.txt
/// section 2.2): whose requests come on it. A connection announces one client, so it may be used again only where its
/// announcement would be the same.
class Announcement {
public:
    struct Party {
        geo::Address address;
        std::uint16_t port = 0;  ///< 0: not known
        static Party from(const sockaddr* socket) noexcept;
    };

    Announcement() = default;  ///< none: the connection begins with its TLS or its request
    /// LOCAL: the edge itself speaks.
    static Announcement local() noexcept;
    /// `client` came to `edge`. Where one of the two is IPv6 the other goes as a mapped address.
    static Announcement of(const Party& client, const Party& edge) noexcept;

    std::string_view bytes() const noexcept { return {bytes_.data(), size_}; }
    bool empty() const noexcept { return size_ == 0; }
    friend bool operator==(const Announcement& left, const Announcement& right) noexcept {
        return left.bytes() == right.bytes();
    }

private:
    void add(std::string_view bytes) noexcept;
    void add_port(std::uint16_t port) noexcept;

    std::array<char, 52> bytes_{};
    std::uint8_t size_ = 0;
};

}  // namespace nearhop::origin
