#include "proxy/shared/address_hash.h"

#include "proxy/shared/keyed_hash.h"

#include <array>
#include <cstring>

namespace nearhop::shared {

AddressHash::AddressHash() : a_{0}, b_{0} {
    const auto secret = hash_secret();
    a_ = secret[0];
    b_ = secret[1];
}

std::uint64_t AddressHash::operator()(const geo::Address& client, std::uint64_t scope) const noexcept {
    const geo::Address address = client.canonical();
    std::array<std::uint64_t, 2> halves{};
    std::memcpy(halves.data(), address.bytes().data(), sizeof halves);
    if (!address.is_v4()) halves[1] = 0;
    const std::uint64_t first = mix(halves[0] ^ a_, b_ ^ scope);
    const std::uint64_t hash = mix(first ^ halves[1] ^ b_, a_ ^ 0x9e3779b97f4a7c15U);
    return hash == 0 ? 1 : hash;
}

}  // namespace nearhop::shared
