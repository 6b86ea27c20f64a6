#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// What an origin of the fault suite answers, and how it sends it, under the fault of the hour; no sockets.
namespace nearhop::bench {

inline constexpr std::uint64_t ms = 1'000'000;

struct Fault {
    std::string kind = "normal";
    std::uint64_t a = 0;
    std::uint64_t b = 0;
};

/// Bytes of `text` leave in steps, until the cut if there is one.
struct Answer {
    std::string text;
    std::size_t step = 0;
    std::uint64_t delay = 0;              ///< before the first step, in nanoseconds
    std::uint64_t interval = 0;           ///< before each other one
    std::size_t cut = std::string::npos;  ///< end the connection after so many bytes
    bool cut_by_reset = true;
};

/// The value of a field in a request head, or empty. `name` in lower case.
std::string field(std::string_view head, std::string_view name);
bool is_probe(std::string_view head);

/// To a whole request with this head. `work`: what an answer takes without a fault, in nanoseconds. `turn` goes on
/// where a fault takes turns.
Answer answer_to(std::string_view head, const std::string& region, std::uint64_t work, const Fault& fault,
                 std::uint64_t& turn);

}  // namespace nearhop::bench
