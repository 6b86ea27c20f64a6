#include "proxy/steering/locate.h"

#include "geo/catalogue.h"
#include "proxy/steering/forwarded.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace nearhop::steering {
namespace {

constexpr std::size_t max_hops = 20;  ///< entries of a chain that are looked at

/// "192.0.2.1:443", "2001:db8::1:443" and "[2001:db8::1]:443": the port is what follows the last colon, and there must
/// be one.
std::optional<geo::Address> parse_viewer_address(std::string_view text) noexcept {
    const auto colon = text.rfind(':');
    if (colon == text.npos || !is_port(text.substr(colon + 1))) return std::nullopt;
    std::string_view address = text.substr(0, colon);
    const bool bracketed = address.size() > 2 && address.front() == '[' && address.back() == ']';
    if (bracketed) address = address.substr(1, address.size() - 2);
    if (bracketed && address.find(':') == address.npos) return std::nullopt;  // brackets are for IPv6
    return geo::Address::parse(address);
}

/// From our peer towards the client: every hop is believed only as far as the one that named it is trusted. The first
/// untrusted address is the client; where the walk ends early (a malformed entry, too many of them), it is the last
/// one that was reached. X-Forwarded-For is walked, or Forwarded where there is none.
struct Walk {
    geo::Address reached;
    std::uint8_t hops = 0;  ///< entries that were looked at, the last ones of the list
    bool bad = false;       ///< the last of them is a malformed element of Forwarded

    /// False: the walk ends here.
    bool step(std::string_view entry, const Trust& trust) noexcept {
        ++hops;
        const Node node = parse_node(entry);
        if (!node.address) return false;
        reached = *node.address;
        return trust.trusts_hop(reached) && hops < max_hops;
    }
};

/// False: nobody is named.
bool walk_forwarded_for(const ChainLines& chain, const Trust& trust, Walk& walk) noexcept {
    std::size_t seen = 0;
    for (std::size_t line = chain.count; line-- > 0;) {
        std::string_view rest = chain.lines[line];
        while (!rest.empty()) {
            const auto comma = rest.rfind(',');
            const std::string_view entry = trimmed(comma == rest.npos ? rest : rest.substr(comma + 1));
            rest = comma == rest.npos ? std::string_view{} : rest.substr(0, comma);
            if (++seen > max_hops) return walk.hops > 0;
            if (entry.empty()) continue;  // RFC 9110 section 5.6.1: empty list elements mean nothing
            if (!walk.step(entry, trust)) return true;
        }
    }
    return walk.hops > 0;
}

void walk_forwarded(const ChainLines& chain, const Trust& trust, Walk& walk) noexcept {
    std::array<std::string_view, max_hops> elements;  // the last ones: quotes are read from left to right
    std::size_t count = 0;
    for (std::size_t line = 0; line < chain.count; ++line) {
        std::string_view rest = chain.lines[line];
        const bool quotes = closes_quotes(rest);
        while (!rest.empty())
            if (const auto item = cut_item(rest, ',', quotes); !item.empty()) elements[count++ % max_hops] = item;
    }
    for (std::size_t i = 0; i < std::min(count, max_hops); ++i) {
        const auto element = parse_element(elements[(count - 1 - i) % max_hops]);
        walk.bad = !element;
        if (!walk.step(element ? element->node : std::string_view{}, trust)) return;
    }
}

Walk walk_chain(const geo::Address& peer, const ViewerFields& fields, const Trust& trust) noexcept {
    Walk walk{peer};
    if (!walk_forwarded_for(fields.forwarded_for, trust, walk)) walk_forwarded(fields.forwarded, trust, walk);
    return walk;
}

struct Coordinates {
    std::optional<geo::Point> point;  ///< also absent for (0, 0), which means "unknown"
    bool bad = false;
};

Coordinates parse_coordinates(const ViewerFields& fields) noexcept {
    if (fields.point_repeated) return {.point = {}, .bad = true};
    if (fields.latitude.empty() && fields.longitude.empty()) return {};
    const auto latitude = parse_degrees(fields.latitude, 90);
    const auto longitude = parse_degrees(fields.longitude, 180);
    if (!latitude || !longitude) return {.point = {}, .bad = true};
    return {.point = geo::point_at(*latitude, *longitude), .bad = false};
}

bool is_code(std::string_view text) noexcept {
    const auto fits = [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '?';
    };
    return text.size() == 2 && fits(text[0]) && fits(text[1]);
}

/// What the fields of a trusted peer say, each already judged.
struct Told {
    std::optional<geo::Address> viewer;
    std::optional<geo::Point> point;
    std::optional<geo::Country> country;
    std::optional<geo::Continent> continent;  ///< of the codes EU and AP, which are no countries
    std::string_view subdivision;             ///< of US and CA
    bool bad = false;
};

void read_country(const ViewerFields& fields, Told& told) noexcept {
    if (fields.country_repeated || (!fields.country.empty() && !is_code(fields.country))) {
        told.bad = true;
        return;
    }
    told.country = geo::Country::parse(fields.country);
    if (told.country && geo::facts(*told.country) == nullptr) {
        told.country.reset();  // two letters, but no country: the address may know more
        told.bad = true;
    }
    if (!told.country && (fields.country == "EU" || fields.country == "AP"))
        told.continent = geo::parse_continent(fields.country);
    if (told.country && geo::subdivision_point(*told.country, fields.country_region))
        told.subdivision = fields.country_region;
}

Told read_fields(const ViewerFields& fields) noexcept {
    Told told;
    if (fields.address_repeated)
        told.bad = true;
    else if (!fields.address.empty()) {
        told.viewer = parse_viewer_address(fields.address);
        told.bad |= !told.viewer;
    }
    const Coordinates coordinates = parse_coordinates(fields);
    told.point = coordinates.point;
    told.bad |= coordinates.bad;
    read_country(fields, told);
    return told;
}

/// Whether a given continent says more than the databases' result: nothing, or a mere registration on another
/// continent.
bool knows_less(const geo::Place& looked_up, geo::Continent told) noexcept {
    return looked_up.level == geo::Level::none || (looked_up.low_confidence && looked_up.continent != told);
}

geo::Place place_told(const Told& told) noexcept {
    if (told.point) return geo::place_of(*told.point, told.country, geo::Source::header);
    return geo::place_of(*told.country, told.subdivision, geo::Source::header);
}

}  // namespace

std::optional<double> parse_degrees(std::string_view text, double limit) noexcept {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    if (!std::isfinite(value) || std::abs(value) > limit) return std::nullopt;
    return value;
}

void ChainLines::add(std::string_view line) noexcept {
    if (count == lines.size()) {
        std::move(lines.begin() + 1, lines.end(), lines.begin());
        --count;
    }
    lines[count++] = line;
}

Located locate(const geo::Address& peer, bool trusted, const ViewerFields& fields, const Trust& trust,
               const geo::Locator& locator) noexcept {
    Located located;
    located.client = peer;
    if (!trusted) {
        located.place = locator.locate(peer);
        return located;
    }

    const Told told = read_fields(fields);
    const Walk walk = told.viewer ? Walk{*told.viewer} : walk_chain(peer, fields, trust);
    located.bad_viewer_field = told.bad || walk.bad;
    located.client = walk.reached;
    located.hops = walk.hops;

    const auto chosen = locator.override_of(located.client);
    if (chosen && chosen->level != geo::Level::none) {
        located.place = *chosen;
        return located;
    }
    if (!told.point && !told.country) {
        located.place = locator.locate(located.client);
        if (told.continent && knows_less(located.place, *told.continent)) {
            geo::Place place;
            place.continent = told.continent;
            place.level = geo::Level::continent;
            place.override_index = located.place.override_index;
            place.source = place.override_index ? geo::Source::cidr : geo::Source::header;
            located.place = place;
        }
        return located;
    }

    located.place = place_told(told);
    if (chosen) {
        // The override only lists origins: they come first, and what the peer told orders the others.
        located.place.override_index = chosen->override_index;
        located.place.source = geo::Source::cidr;
    }
    // Where nobody named the client its address is the CDN's, and says nothing about where the viewer is.
    if (located.client == peer) return located;
    const geo::Place looked_up = locator.locate(located.client);
    if (!told.country) {  // coordinates alone: a country rule still wants its country
        geo::add_country(located.place, looked_up);
    } else {
        located.disagreement = looked_up.country && !looked_up.low_confidence && *looked_up.country != *told.country;
    }
    return located;
}

}  // namespace nearhop::steering
