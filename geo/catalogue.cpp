#include "geo/catalogue.h"

#include "geo/embedded.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <stdexcept>

namespace nearhop::geo {
namespace {

/// One line of a data file.
template <std::size_t columns>
using Row = std::array<std::string_view, columns>;

/// Cuts the first field off a line, without the quotes around one that holds commas; our files never nest quotes.
std::string_view take_field(std::string_view& line) {
    const bool quoted = !line.empty() && line.front() == '"';
    const std::size_t closing = quoted ? line.find('"', 1) : 0;
    if (closing == std::string_view::npos) throw std::logic_error{"geo/data: a quote is not closed"};
    const std::size_t comma = std::min(line.find(',', closing), line.size());
    const std::string_view field = quoted ? line.substr(1, closing - 1) : line.substr(0, comma);
    line.remove_prefix(std::min(comma + 1, line.size()));
    return field;
}

/// Calls `use` with each row after the heading. The files are part of the binary: a bad one is a bug, not an input.
template <std::size_t columns, class Use>
void for_each_row(std::string_view csv, Use use) {
    for (bool heading = true; !csv.empty(); heading = false) {
        const std::size_t end = std::min(csv.find('\n'), csv.size());
        std::string_view line = csv.substr(0, end);
        csv.remove_prefix(std::min(end + 1, csv.size()));
        if (heading) continue;
        Row<columns> row;
        for (std::string_view& field : row) field = take_field(line);
        if (!line.empty()) throw std::logic_error{"geo/data: more columns than expected"};
        use(row);
    }
}

double degrees(std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size())
        throw std::logic_error{"geo/data: not a number: " + std::string{text}};
    return value;
}

struct Countries {
    std::vector<CountryFacts> facts;
    std::array<const CountryFacts*, Country::count> by_index{};
};

Countries read_countries() {
    Countries countries;
    std::vector<Country> codes;
    for_each_row<7>(embedded::country_points(), [&](const Row<7>& row) {
        const auto& [iso2, name, continent, latitude, longitude, spread, source] = row;
        const double lat = degrees(latitude);
        const double lon = degrees(longitude);
        codes.push_back(Country::parse(iso2).value());
        countries.facts.push_back(
            {std::string{name}, parse_continent(continent).value(), point_at(lat, lon).value(), lat, lon});
    });
    for (std::size_t i = 0; i < codes.size(); ++i) countries.by_index[codes[i].index()] = &countries.facts[i];
    return countries;
}

std::vector<CloudRegion> read_regions() {
    std::vector<CloudRegion> regions;
    for_each_row<6>(embedded::cloud_regions(), [&](const Row<6>& row) {
        const auto& [provider, name, place, country, latitude, longitude] = row;
        const double lat = degrees(latitude);
        const double lon = degrees(longitude);
        regions.push_back({std::string{provider}, std::string{name}, std::string{place}, Country::parse(country), lat,
                           lon, point_at(lat, lon).value()});
    });
    return regions;
}

/// Subdivision codes of the US and Canada are two letters, so they index as countries do.
struct Subdivisions {
    std::vector<Point> points;
    std::array<std::uint8_t, Country::count> us{};  ///< 1 + position in points; 0: none
    std::array<std::uint8_t, Country::count> ca{};
};

std::optional<std::size_t> two_letter_index(std::string_view code) noexcept {
    if (code.size() != 2 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z') return std::nullopt;
    return static_cast<std::size_t>(code[0] - 'A') * 26 + static_cast<std::size_t>(code[1] - 'A');
}

Subdivisions read_subdivisions() {
    Subdivisions subdivisions;
    for_each_row<5>(embedded::subdivisions(), [&](const Row<5>& row) {
        const auto& [iso2, code, latitude, longitude, people] = row;
        subdivisions.points.push_back(point_at(degrees(latitude), degrees(longitude)).value());
        auto& table = iso2 == "US" ? subdivisions.us : subdivisions.ca;
        table[two_letter_index(code).value()] = static_cast<std::uint8_t>(subdivisions.points.size());
    });
    return subdivisions;
}

// Each table is read on first use, by one thread while others wait, and never changes.
const Countries& countries() {
    static const Countries table = read_countries();
    return table;
}

const std::vector<CloudRegion>& regions() {
    static const std::vector<CloudRegion> table = read_regions();
    return table;
}

const Subdivisions& subdivisions() {
    static const Subdivisions table = read_subdivisions();
    return table;
}

// Member states, then the parts of them that have a country code of their own and are Union territory (article 349
// TFEU, and Aland): a residency rule for "eu" covers the people who live there.
constexpr std::string_view european_union =
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK "
    "AX GF GP MF MQ RE YT";
constexpr std::string_view rest_of_the_area = "IS LI NO";

void append(std::string_view codes, std::vector<Country>& members) {
    for (std::size_t at = 0; at + 2 <= codes.size(); at += 3)
        members.push_back(Country::parse(codes.substr(at, 2)).value());
}

}  // namespace

const CloudRegion* find_region(std::string_view name) noexcept {
    const auto& all = regions();
    const auto found =
        std::find_if(all.begin(), all.end(), [name](const CloudRegion& region) { return region.name == name; });
    return found == all.end() ? nullptr : &*found;
}

std::vector<std::string> region_names() {
    std::vector<std::string> names;
    for (const CloudRegion& region : regions()) names.push_back(region.name);
    return names;
}

const CountryFacts* facts(Country country) noexcept { return countries().by_index[country.index()]; }

std::optional<Point> subdivision_point(Country country, std::string_view subdivision) noexcept {
    const bool us = country.text() == "US";
    if (!us && country.text() != "CA") return std::nullopt;
    const auto index = two_letter_index(subdivision);
    if (!index) return std::nullopt;
    const Subdivisions& table = subdivisions();
    const std::uint8_t position = us ? table.us[*index] : table.ca[*index];
    if (position == 0) return std::nullopt;
    return table.points[position - 1U];
}

std::vector<Country> built_in_group(std::string_view name) {
    std::vector<Country> members;
    if (name == "eu" || name == "eea") append(european_union, members);
    if (name == "eea") append(rest_of_the_area, members);
    return members;
}

}  // namespace nearhop::geo
