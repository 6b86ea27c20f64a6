#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace nearhop::geo {

/// ISO 3166-1 alpha-2 code, always two upper-case ASCII letters.
/// There is no "unknown" value: code that may not know the country holds std::optional<Country>.
class Country {
public:
    static constexpr std::size_t count = 26 * 26;

    /// Accepts either case. "UK" becomes GB. Refuses codes that are not countries (XX ZZ T1 A1 A2 O1 EU AP, ??).
    static constexpr std::optional<Country> parse(std::string_view text) noexcept {
        if (text.size() != 2) return std::nullopt;
        const char first = upper(text[0]);
        const char second = upper(text[1]);
        if (first < 'A' || first > 'Z' || second < 'A' || second > 'Z') return std::nullopt;
        if (first == 'U' && second == 'K') return Country{'G', 'B'};
        if ((first == 'X' && second == 'X') || (first == 'Z' && second == 'Z')) return std::nullopt;
        if ((first == 'E' && second == 'U') || (first == 'A' && second == 'P')) return std::nullopt;
        return Country{first, second};
    }

    static constexpr Country from_index(std::size_t index) noexcept {
        return Country{static_cast<char>('A' + index / 26), static_cast<char>('A' + index % 26)};
    }

    /// Dense, in [0, 676): the row in a ranking table.
    constexpr std::size_t index() const noexcept {
        return static_cast<std::size_t>(text_[0] - 'A') * 26 + static_cast<std::size_t>(text_[1] - 'A');
    }
    constexpr std::string_view text() const noexcept { return {text_, 2}; }
    friend constexpr bool operator==(const Country& left, const Country& right) noexcept {
        return left.index() == right.index();
    }

private:
    constexpr Country(char first, char second) noexcept : text_{first, second} {}
    static constexpr char upper(char c) noexcept { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
    char text_[2];
};

enum class Continent : std::uint8_t { africa, antarctica, asia, europe, north_america, oceania, south_america };

/// "EU" and friends; also maps the pseudo-countries EU and AP (Asia-Pacific).
std::optional<Continent> parse_continent(std::string_view code) noexcept;
std::string_view code(Continent continent) noexcept;

static_assert(Country::parse("de") && Country::parse("de")->text() == "DE");
static_assert(!Country::parse("") && !Country::parse("D1") && !Country::parse("XX"));

}  // namespace nearhop::geo
