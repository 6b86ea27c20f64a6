#pragma once

#include "geo/address.h"

#include <cstdint>

namespace nearhop::shared {

/// What limits take for one client: an IPv4 address, or the /64 of an IPv6 one, since who has one address of a /64
/// has them all. Keyed with the kernel's randomness: nobody outside can choose addresses that collide.
class AddressHash {
public:
    AddressHash();
    explicit constexpr AddressHash(std::uint64_t a, std::uint64_t b) noexcept : a_{a}, b_{b} {}  ///< for tests

    /// Never 0. `scope` keeps apart what belongs to the same address but not together, such as the sites' buckets.
    std::uint64_t operator()(const geo::Address& client, std::uint64_t scope = 0) const noexcept;

private:
    std::uint64_t a_, b_;
};

}  // namespace nearhop::shared
