#include "proxy/exchange/viewer.h"

namespace nearhop::exchange {

steering::ViewerFields viewer_fields(std::span<const wire::Field> fields) noexcept {
    steering::ViewerFields viewer;
    const auto once = [](std::string_view& slot, std::string_view value, bool& repeated) {
        if (!slot.empty()) repeated = true;
        slot = value;
    };
    bool region_repeated = false;
    for (const auto& field : fields) {
        if (field.id == wire::Name::x_forwarded_for) {
            viewer.forwarded_for.add(field.value);
            continue;
        }
        if (field.id == wire::Name::forwarded) viewer.forwarded.add(field.value);
        if (field.id != wire::Name::cloudfront_viewer) continue;
        const auto name = field.name.substr(sizeof "CloudFront-Viewer-" - 1);
        if (wire::equal_ignoring_case(name, "Country"))
            once(viewer.country, field.value, viewer.country_repeated);
        else if (wire::equal_ignoring_case(name, "Country-Region"))
            once(viewer.country_region, field.value, region_repeated);
        else if (wire::equal_ignoring_case(name, "Address"))
            once(viewer.address, field.value, viewer.address_repeated);
        else if (wire::equal_ignoring_case(name, "Latitude"))
            once(viewer.latitude, field.value, viewer.point_repeated);
        else if (wire::equal_ignoring_case(name, "Longitude"))
            once(viewer.longitude, field.value, viewer.point_repeated);
    }
    if (region_repeated) viewer.country_region = {};
    return viewer;
}

}  // namespace nearhop::exchange
