#pragma once

#include <cstddef>
#include <string_view>

namespace nearhop::conf {

/// Bytes of the well-formed UTF-8 character at `at` (RFC 3629: no overlong forms, no surrogates); 0 when it is none.
std::size_t utf8_length(std::string_view text, std::size_t at) noexcept;

}  // namespace nearhop::conf
