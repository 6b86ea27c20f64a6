#pragma once

#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace nearhop::fuzz {

/// What a target promises; a broken promise is a crash to libFuzzer and to the replay alike.
inline void require(bool held) {
    if (!held) std::abort();
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
    return size == 0 ? std::string_view{} : std::string_view{reinterpret_cast<const char*>(data), size};
}

/// Nothing in it ends a field value, a reason or a line early (RFC 9110 section 5.5).
inline bool is_clean_value(std::string_view text) {
    for (const char c : text)
        if (c != '\t' && (static_cast<unsigned char>(c) < ' ' || c == '\x7f')) return false;
    return true;
}

/// A line of it continues the one before: obs-fold, which two recipients read in two ways (RFC 9112 section 5.2).
inline bool is_folded(std::string_view head) {
    return head.find("\r\n ") != std::string_view::npos || head.find("\r\n\t") != std::string_view::npos;
}

/// RFC 9110 section 5.6.2.
inline bool is_token(std::string_view text) {
    for (const char c : text)
        if (c <= ' ' || c >= 0x7f || std::string_view{"\"(),/:;<=>?@[\\]{}"}.find(c) != std::string_view::npos)
            return false;
    return !text.empty();
}

}  // namespace nearhop::fuzz
