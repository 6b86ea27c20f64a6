#include "proxy/exchange/address_hash.h"

#include <array>
#include <cstring>
#include <stdexcept>
#include <sys/random.h>

namespace nearhop::exchange {
namespace {

/// Both halves of the 128-bit product folded: every bit of the result depends on every bit of both.
std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

}  // namespace

AddressHash::AddressHash() : a_{0}, b_{0} {
    std::array<std::uint64_t, 2> secret{};
    if (getrandom(secret.data(), sizeof secret, 0) != static_cast<ssize_t>(sizeof secret))
        throw std::runtime_error{"getrandom"};
    a_ = secret[0] | 1;  // zero would multiply everything away
    b_ = secret[1] | 1;
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

std::uint64_t AddressHash::of_name(std::string_view name) const noexcept {
    std::uint64_t hash = mix(name.size() ^ a_, b_);
    for (const char c : name) hash = mix(hash ^ static_cast<unsigned char>(c), b_);
    return hash;
}

}  // namespace nearhop::exchange
