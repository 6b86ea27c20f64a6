#include "geo/layout.h"

#include <maxminddb.h>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace nearhop::geo {
namespace {

/// Keys from the record's root, ended by a null pointer, as MMDB_aget_value wants them.
using Path = std::array<const char*, 4>;

constexpr std::array<Path, 4> country_paths{Path{"country", "iso_code"}, Path{"country_code"}, Path{"country"},
                                            Path{"registered_country", "iso_code"}};
constexpr std::size_t registered = 3;  // of country_paths

constexpr std::array<Path, 2> subdivision_paths{Path{"subdivisions", "0", "iso_code"}, Path{"region_code"}};
constexpr std::array<Path, 2> continent_paths{Path{"continent", "code"}, Path{"continent_code"}};

struct PathPair {
    Path latitude;
    Path longitude;
};
constexpr std::array<PathPair, 3> coordinate_paths{
    PathPair{{"location", "latitude"}, {"location", "longitude"}},
    PathPair{{"latitude"}, {"longitude"}},
    PathPair{{"lat"}, {"lng"}},
};

constexpr Path city_path{"city"};
constexpr Path radius_path{"location", "accuracy_radius"};
constexpr double vague_km = 500;  // such a radius covers a country, not a place in it

constexpr bool is_path_mismatch(int status) noexcept {
    // The second is what a key gives where the record has an array.
    return status == MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR || status == MMDB_INVALID_LOOKUP_PATH_ERROR;
}

std::optional<double> parse_number(std::string_view text) noexcept {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// "CA", or "US-CA" as some files have it, into the part after the dash.
void set_subdivision(std::string_view code, Record& record) noexcept {
    if (code.size() > 3 && code[2] == '-') code.remove_prefix(3);
    if (code.empty() || code.size() >= sizeof record.subdivision) return;
    const auto alphanumeric = [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    };
    if (!std::all_of(code.begin(), code.end(), alphanumeric)) return;
    std::transform(code.begin(), code.end(), record.subdivision,
                   [](char c) { return c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c; });
    record.subdivision[code.size()] = '\0';
}

}  // namespace

/// Values of one record by path. A path that is absent or of another type is an empty answer; anything else that goes
/// wrong sticks in `broken`.
struct Layout::Reader {
    MMDB_entry_s entry;
    bool broken = false;

    std::optional<MMDB_entry_data_s> at(const Path& path) noexcept {
        MMDB_entry_data_s data{};
        const int status = MMDB_aget_value(&entry, &data, path.data());
        if (status == MMDB_SUCCESS && data.has_data) return data;
        if (status != MMDB_SUCCESS && !is_path_mismatch(status)) broken = true;
        return std::nullopt;
    }

    std::string_view text(const Path& path) noexcept {
        const auto data = at(path);
        if (!data || data->type != MMDB_DATA_TYPE_UTF8_STRING || data->data_size == 0) return {};
        return {data->utf8_string, data->data_size};
    }

    std::optional<double> number(const Path& path) noexcept {
        const auto data = at(path);
        if (!data) return std::nullopt;
        switch (data->type) {
            case MMDB_DATA_TYPE_DOUBLE: return data->double_value;
            case MMDB_DATA_TYPE_FLOAT: return static_cast<double>(data->float_value);
            case MMDB_DATA_TYPE_UINT16: return static_cast<double>(data->uint16);
            case MMDB_DATA_TYPE_UINT32: return static_cast<double>(data->uint32);
            case MMDB_DATA_TYPE_INT32: return static_cast<double>(data->int32);
            case MMDB_DATA_TYPE_UTF8_STRING:
                return data->data_size == 0 ? std::nullopt : parse_number({data->utf8_string, data->data_size});
            default: return std::nullopt;
        }
    }

    /// A city by name or as a map about it; files of every layout call it `city`.
    bool has_city() noexcept {
        const auto data = at(city_path);
        return data && data->data_size != 0 &&
               (data->type == MMDB_DATA_TYPE_MAP || data->type == MMDB_DATA_TYPE_UTF8_STRING);
    }
};

bool Layout::learn(const MMDB_entry_s& entry) noexcept {
    Reader reader{entry};
    for (std::size_t i = 0; i < country_.size(); ++i)
        if (reader.text(country_paths[i]).size() == 2) country_[i] = true;
    for (std::size_t i = 0; i < subdivision_.size(); ++i)
        if (!reader.text(subdivision_paths[i]).empty()) subdivision_[i] = true;
    for (std::size_t i = 0; i < continent_.size(); ++i)
        if (parse_continent(reader.text(continent_paths[i]))) continent_[i] = true;
    for (std::size_t i = 0; i < coordinates_.size(); ++i)
        if (reader.number(coordinate_paths[i].latitude) && reader.number(coordinate_paths[i].longitude))
            coordinates_[i] = true;
    city_ = city_ || reader.has_city();
    radius_ = radius_ || reader.number(radius_path).has_value();
    return !reader.broken;
}

bool Layout::knows_nothing() const noexcept {
    const auto any = [](const auto& seen) { return std::any_of(seen.begin(), seen.end(), [](bool s) { return s; }); };
    return !any(country_) && !any(continent_) && !any(coordinates_);
}

bool Layout::read(const MMDB_entry_s& entry, Record& record) const noexcept {
    Reader reader{entry};
    read_country(reader, record);
    for (std::size_t i = 0; i < continent_.size() && !record.continent; ++i)
        if (continent_[i]) record.continent = parse_continent(reader.text(continent_paths[i]));
    // A subdivision is one of the country where the users are: beside a registered country it is one of another.
    const bool knows_country = record.country && !record.registered_only;
    for (std::size_t i = 0; i < subdivision_.size() && knows_country && record.subdivision[0] == '\0'; ++i)
        if (subdivision_[i]) set_subdivision(reader.text(subdivision_paths[i]), record);
    read_point(reader, record, knows_country);
    return !reader.broken;
}

void Layout::read_country(Reader& reader, Record& record) const noexcept {
    for (std::size_t i = 0; i < country_.size(); ++i) {
        if (!country_[i]) continue;
        const std::string_view code = reader.text(country_paths[i]);
        if (code.size() != 2) continue;
        record.country = Country::parse(code);
        record.registered_only = record.country && i == registered;
        // What is two letters but no country may be a pseudo-country: EU is somewhere in Europe, AP in Asia.
        if (!record.country) record.continent = parse_continent(code);
        return;
    }
}

void Layout::read_point(Reader& reader, Record& record, bool knows_country) const noexcept {
    for (std::size_t i = 0; i < coordinates_.size(); ++i) {
        if (!coordinates_[i]) continue;
        const auto latitude = reader.number(coordinate_paths[i].latitude);
        if (!latitude) continue;
        const auto longitude = reader.number(coordinate_paths[i].longitude);
        if (!longitude) continue;
        // A point without a city is often the middle of the country, which our own table knows better. Where the record
        // names no country of its own it is the best that there is.
        if (knows_country && !(city_ && reader.has_city())) {
            const auto radius = radius_ ? reader.number(radius_path) : std::nullopt;
            if (!radius || !(*radius < vague_km)) return;
        }
        record.point = point_at(*latitude, *longitude);
        return;
    }
}

}  // namespace nearhop::geo
