#include "proxy/run/log_text.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace nearhop::run {
namespace {

unsigned char byte_at(std::string_view text, std::size_t at) noexcept {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
}

/// Bytes of the well-formed UTF-8 character at `at` (RFC 3629: no overlong forms, no surrogates); 0 when it is none.
std::size_t utf8_length(std::string_view text, std::size_t at) noexcept {
    const auto tail = [&](std::size_t i) { return (byte_at(text, at + i) & 0xc0) == 0x80; };
    const unsigned char first = byte_at(text, at);
    const unsigned char second = byte_at(text, at + 1);
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first <= 0xdf) return tail(1) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        if (!tail(1) || !tail(2)) return 0;
        if (first == 0xe0 && second < 0xa0) return 0;
        if (first == 0xed && second > 0x9f) return 0;
        return 3;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        if (!tail(1) || !tail(2) || !tail(3)) return 0;
        if (first == 0xf0 && second < 0x90) return 0;
        if (first == 0xf4 && second > 0x8f) return 0;
        return 4;
    }
    return 0;
}

char* write_code(char* out, unsigned char code) noexcept {
    static constexpr char digits[] = "0123456789abcdef";
    constexpr std::string_view prefix = "\\u00";
    std::memcpy(out, prefix.data(), prefix.size());
    out[4] = digits[code >> 4];
    out[5] = digits[code & 15];
    return out + 6;
}

bool is_bare(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return c > ' ' && c < '\x7f' && c != '"' && c != '=' && c != '\\';
    });
}

}  // namespace

char* write_escaped(char* out, std::string_view text) noexcept {
    for (std::size_t at = 0; at < text.size();) {
        const unsigned char byte = byte_at(text, at);
        if (byte == '"' || byte == '\\') {
            *out++ = '\\';
            *out++ = static_cast<char>(byte);
            ++at;
            continue;
        }
        const std::size_t length = utf8_length(text, at);
        const bool c1 = length == 2 && byte == 0xc2 && byte_at(text, at + 1) < 0xa0;
        if (length == 0 || byte < 0x20 || byte == 0x7f || c1) {
            out = write_code(out, c1 ? byte_at(text, at + 1) : byte);
            at += c1 ? 2 : 1;
            continue;
        }
        std::memcpy(out, text.data() + at, length);
        out += length;
        at += length;
    }
    return out;
}

char* write_logfmt(char* out, std::string_view text) noexcept {
    if (is_bare(text)) {
        std::memcpy(out, text.data(), text.size());
        return out + text.size();
    }
    *out++ = '"';
    out = write_escaped(out, text);
    *out++ = '"';
    return out;
}

void append_logfmt(std::string& line, std::string_view key, std::string_view value) {
    if (!line.empty()) line += ' ';
    line.append(key) += '=';
    const std::size_t begin = line.size();
    line.resize(begin + value.size() * escaped_at_most + 2);
    const char* end = write_logfmt(line.data() + begin, value);
    line.resize(static_cast<std::size_t>(end - line.data()));
}

}  // namespace nearhop::run
