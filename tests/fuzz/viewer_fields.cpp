#include "proxy/steering/locate.h"
#include "tests/fuzz/support.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

/// The viewer and forwarded fields of a trusted peer: foreign bytes that decide where a client is. Lines of the input
/// are the fields: country, country-region, address, latitude, longitude, then X-Forwarded-For lines, or, behind "F:",
/// those of Forwarded.
namespace {

using namespace nearhop;
using fuzz::require;

std::string_view next_line(std::string_view& rest) {
    const auto end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest = end == rest.npos ? std::string_view{} : rest.substr(end + 1);
    return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const geo::Address peer = geo::Address::v4(0x0a000001);
    static const steering::Trust trust{{{geo::Cidr{geo::Address::v4(0x0a000000), 104}, "", ""}}};
    static const geo::Locator locator{{{{geo::Address::v4(0xc0000200), 120}, geo::Country::parse("DE"), {}, false}},
                                      {geo::Database::open_embedded().database}};

    auto rest = fuzz::text_of(data, size);
    steering::ViewerFields fields;
    if (!rest.empty()) {
        fields.country_repeated = (rest[0] & 1) != 0;
        fields.address_repeated = (rest[0] & 2) != 0;
        fields.point_repeated = (rest[0] & 4) != 0;
        rest.remove_prefix(1);
    }
    fields.country = next_line(rest);
    fields.country_region = next_line(rest);
    fields.address = next_line(rest);
    fields.latitude = next_line(rest);
    fields.longitude = next_line(rest);
    while (!rest.empty()) {
        const auto line = next_line(rest);
        if (line.starts_with("F:"))
            fields.forwarded.add(line.substr(2));
        else
            fields.forwarded_for.add(line);
    }

    const auto located = steering::locate(peer, true, fields, trust, locator);
    const geo::Place& place = located.place;
    require(!place.country || geo::Country::parse(place.country->text()).has_value());
    require(place.subdivision[sizeof place.subdivision - 1] == '\0');
    if (place.point) require(std::abs(geo::closeness(*place.point, *place.point) - 1) < 1e-9);
    require(located.hops <= 20 && (located.hops > 0 || located.client == peer || !fields.address.empty()));
    require(!(fields.country_repeated || fields.address_repeated || fields.point_repeated) || located.bad_viewer_field);

    // The same bytes from a stranger change nothing.
    const auto untrusted = steering::locate(peer, false, fields, trust, locator);
    require(untrusted.client == peer && !untrusted.bad_viewer_field && !untrusted.disagreement);
    return 0;
}
