#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nearhop::client {

/// What precedes each frame (RFC 9113 section 4.1).
struct FrameHead {
    static constexpr std::size_t bytes = 9;

    std::size_t length = 0;  ///< of the payload
    std::uint8_t type = 0;
    std::uint8_t flags = 0;
    std::int32_t stream = 0;

    /// Of the first nine bytes.
    static constexpr FrameHead parse(std::string_view in) noexcept {
        const auto byte = [in](std::size_t at) { return std::uint32_t{static_cast<unsigned char>(in[at])}; };
        return {.length = byte(0) << 16 | byte(1) << 8 | byte(2),
                .type = static_cast<std::uint8_t>(byte(3)),
                .flags = static_cast<std::uint8_t>(byte(4)),
                .stream = static_cast<std::int32_t>((byte(5) & 0x7f) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8))};
    }
    constexpr bool has(std::uint8_t flag) const noexcept { return (flags & flag) != 0; }
};

}  // namespace nearhop::client
