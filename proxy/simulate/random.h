#pragma once

#include <cstdint>

namespace nearhop::simulate {

/// SplitMix64 (Steele, Lea, Flood 2014): an algorithm that is specified to the bit, so that a seed means the same run
/// on every machine and with every library.
class Random {
public:
    explicit Random(std::uint64_t seed) noexcept : state_{seed} {}

    std::uint64_t next() noexcept {
        std::uint64_t mixed = (state_ += 0x9e3779b97f4a7c15);
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        return mixed ^ (mixed >> 31);
    }
    double fraction() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }  ///< [0, 1)
    std::uint64_t below(std::uint64_t limit) noexcept {                                   ///< [0, limit); limit > 0
        return static_cast<std::uint64_t>(fraction() * static_cast<double>(limit));
    }
    bool happens(unsigned percent) noexcept { return percent >= 100 || below(100) < percent; }

private:
    std::uint64_t state_;
};

}  // namespace nearhop::simulate
