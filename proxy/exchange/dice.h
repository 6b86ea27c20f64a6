#pragma once

#include <array>
#include <cstdint>

namespace nearhop::exchange {

/// xoshiro256**: request ids, backoff and jitter need speed, not secrecy. One per worker, seeded by the kernel.
class Dice {
public:
    Dice();
    std::uint64_t next() noexcept;
    double fraction() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }  ///< [0, 1)

private:
    std::array<std::uint64_t, 4> state_;
};

}  // namespace nearhop::exchange
