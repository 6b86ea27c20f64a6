#pragma once

#include "geo/ranking.h"

#include <bit>
#include <cstddef>
#include <cstdint>

namespace nearhop::steering {

using geo::index_of;
using geo::OriginId;
using geo::Position;

/// Some origins of one site, by their positions in it: one word.
class OriginSet {
public:
    constexpr OriginSet() noexcept = default;
    constexpr explicit OriginSet(std::uint64_t bits) noexcept : bits_{bits} {}
    static constexpr OriginSet of(Position position) noexcept { return OriginSet{bit(position)}; }
    /// The first `count` origins of a site.
    static constexpr OriginSet first(std::size_t count) noexcept {
        return OriginSet{count >= width ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1};
    }

    constexpr bool operator[](Position position) const noexcept { return (bits_ & bit(position)) != 0; }
    constexpr void set(Position position, bool in = true) noexcept {
        bits_ = in ? bits_ | bit(position) : bits_ & ~bit(position);
    }
    constexpr void reset(Position position) noexcept { set(position, false); }

    constexpr bool any() const noexcept { return bits_ != 0; }
    constexpr bool none() const noexcept { return bits_ == 0; }
    constexpr std::size_t count() const noexcept { return static_cast<std::size_t>(std::popcount(bits_)); }

    friend constexpr OriginSet operator|(OriginSet a, OriginSet b) noexcept { return OriginSet{a.bits_ | b.bits_}; }
    friend constexpr OriginSet operator&(OriginSet a, OriginSet b) noexcept { return OriginSet{a.bits_ & b.bits_}; }
    constexpr OriginSet& operator|=(OriginSet other) noexcept { return *this = *this | other; }
    constexpr OriginSet& operator&=(OriginSet other) noexcept { return *this = *this & other; }
    constexpr bool operator==(const OriginSet&) const noexcept = default;

private:
    static constexpr std::size_t width = 64;
    static_assert(conf::most_site_origins <= width);
    static constexpr std::uint64_t bit(Position position) noexcept { return std::uint64_t{1} << index_of(position); }

    std::uint64_t bits_ = 0;
};

}  // namespace nearhop::steering
