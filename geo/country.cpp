#include "geo/country.h"

#include <array>

namespace nearhop::geo {
namespace {

constexpr std::array<std::string_view, 7> continent_codes{"AF", "AN", "AS", "EU", "NA", "OC", "SA"};

constexpr char upper(char c) noexcept { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

}  // namespace

std::optional<Continent> parse_continent(std::string_view code) noexcept {
    if (code.size() != 2) return std::nullopt;
    const char letters[] = {upper(code[0]), upper(code[1])};
    const std::string_view wanted{letters, 2};
    if (wanted == "AP") return Continent::asia;
    for (std::size_t i = 0; i < continent_codes.size(); ++i)
        if (continent_codes[i] == wanted) return static_cast<Continent>(i);
    return std::nullopt;
}

std::string_view code(Continent continent) noexcept { return continent_codes[static_cast<std::size_t>(continent)]; }

}  // namespace nearhop::geo
