#pragma once

#include <array>
#include <cstdint>

/// For tables whose keys clients choose: with a secret in the hash, no client can aim at one place of them.
namespace nearhop::shared {

/// Both halves of the 128-bit product folded: every bit of the result depends on every bit of both.
inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// The process's own choice; odd numbers, for zero would multiply everything away. Throws std::runtime_error.
std::array<std::uint64_t, 2> hash_secret();

}  // namespace nearhop::shared
