#pragma once

#include "geo/country.h"
#include "geo/ranking.h"
#include "proxy/simulate/events.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nearhop::simulate {

enum class Method : std::uint8_t { get, put, post };
inline constexpr std::string_view method_names[] = {"GET", "PUT", "POST"};
constexpr std::string_view name(Method method) noexcept { return method_names[static_cast<std::size_t>(method)]; }

inline constexpr geo::OriginId no_origin = 0xffff;

/// One request as its client saw it.
struct Request {
    microseconds began{};
    microseconds took{};
    std::uint32_t client = 0;
    std::uint16_t country = 0;         ///< geo::Country::index()
    std::uint16_t status = 0;          ///< 500 and above: an error for the client
    geo::OriginId served = no_origin;  ///< the origin whose answer the client got
    Method method = Method::get;
    std::uint8_t attempts = 0;
    std::uint8_t sent = 0;  ///< attempts in which request bytes left
    bool moved = false;     ///< asked again, or another origin, after an attempt had failed
    bool hedged = false;    ///< a second origin was asked beside a late first one
    bool twice = false;     ///< a POST that may have been executed a second time

    bool failed() const noexcept { return status >= 500; }
};

/// Something that happened, for the timeline.
struct Happening {
    microseconds when{};
    std::string what;
};

struct Outcome {
    microseconds interval{}, duration{};
    std::vector<std::string> origins;                  ///< names by OriginId
    std::vector<Request> requests;                     ///< in the order in which they were over
    std::vector<std::vector<std::uint32_t>> attempts;  ///< by origin, by whole second
    std::vector<Happening> timeline;
};

}  // namespace nearhop::simulate
