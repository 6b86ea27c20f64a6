#include "conf/secret.h"

#include <algorithm>

namespace nearhop::conf {
namespace {

std::string text_wanted(std::size_t least) {
    return "a text of visible ASCII characters" + (least > 1 ? ", at least " + std::to_string(least) : std::string{});
}

std::string_view name_of(unsigned char byte) noexcept {
    switch (byte) {
        case '\0': return "a NUL";
        case '\n': return "a line feed";
        case '\r': return "a carriage return";
        case ' ': return "a blank";
        default: return byte < 0x80 ? "a control character" : "a byte outside ASCII";
    }
}

}  // namespace

std::string secret_problem(std::string_view text, std::size_t least) {
    const auto found = [&](const std::string& what) { return "want " + text_wanted(least) + ", found " + what; };
    const auto found_at = [&](std::size_t index) {
        return found(std::string{name_of(static_cast<unsigned char>(text[index]))} + " at byte " +
                     std::to_string(index + 1));
    };
    if (text.empty()) return found("nothing");
    // A blank at either end would not arrive: it is no part of a field's value (RFC 9110 section 5.5).
    const auto bad = std::find_if(text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; });
    if (bad != text.end()) return found_at(static_cast<std::size_t>(bad - text.begin()));
    if (text.front() == ' ') return found_at(0);
    if (text.back() == ' ') return found_at(text.size() - 1);
    if (text.size() < least) return found(std::to_string(text.size()) + " characters");
    if (text.size() > Secret::most) return "want at most " + std::to_string(Secret::most) + " characters, found more";
    return {};
}

std::string_view without_line_end(std::string_view bytes) noexcept {
    if (!bytes.ends_with('\n')) return bytes;
    bytes.remove_suffix(1);
    if (bytes.ends_with('\r')) bytes.remove_suffix(1);
    return bytes;
}

std::string secret_wanted(std::size_t least) { return text_wanted(least) + ", or a map with file or env"; }

}  // namespace nearhop::conf
