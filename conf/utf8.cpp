#include "conf/utf8.h"

namespace nearhop::conf {
namespace {

unsigned char byte_at(std::string_view text, std::size_t at) noexcept {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
}

}  // namespace

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

}  // namespace nearhop::conf
