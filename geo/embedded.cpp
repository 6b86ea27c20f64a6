#include "geo/embedded.h"

#define NEARHOP_EMBEDDED(name)                                                 \
    extern "C" const char nearhop_##name##_begin[];                            \
    extern "C" const char nearhop_##name##_end[];                              \
    std::string_view nearhop::geo::embedded::name() noexcept {                 \
        return std::string_view{nearhop_##name##_begin, nearhop_##name##_end}; \
    }

NEARHOP_EMBEDDED(country_database)
NEARHOP_EMBEDDED(country_points)
NEARHOP_EMBEDDED(cloud_regions)
NEARHOP_EMBEDDED(subdivisions)
