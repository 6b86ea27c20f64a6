#include "proxy/account/log_text.h"

#include "conf/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace nearhop::account {
namespace {

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
        const auto byte = static_cast<unsigned char>(text[at]);
        if (byte == '"' || byte == '\\') {
            *out++ = '\\';
            *out++ = static_cast<char>(byte);
            ++at;
            continue;
        }
        const std::size_t length = conf::utf8_length(text, at);
        const bool c1 = length == 2 && byte == 0xc2 && static_cast<unsigned char>(text[at + 1]) < 0xa0;
        if (length == 0 || byte < 0x20 || byte == 0x7f || c1) {
            out = write_code(out, c1 ? static_cast<unsigned char>(text[at + 1]) : byte);
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

}  // namespace nearhop::account
