#pragma once

#include "proxy/exchange/dice.h"
#include "proxy/wire/head.h"

#include <array>
#include <span>
#include <string_view>

namespace nearhop::exchange {

/// What a request is known by in the log and at its origin: 32 hexadecimal digits, or a trusted peer's X-Request-Id.
class RequestId {
public:
    RequestId() = default;
    RequestId(const RequestId&) = delete;
    RequestId& operator=(const RequestId&) = delete;

    /// Before text(). `fields`, of the request, outlive it.
    void choose(std::span<const wire::Field> fields, bool trusted, Dice& dice) noexcept;
    std::string_view text() const noexcept { return text_; }

private:
    std::array<char, 32> buffer_{};
    std::string_view text_;
};

}  // namespace nearhop::exchange
