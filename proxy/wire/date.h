#pragma once

#include "proxy/loop/loop.h"

#include <array>
#include <chrono>
#include <string_view>

namespace nearhop::wire {

/// A Date field with its CRLF: "Date: Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 sections 5.6.7 and 6.6.1).
std::array<char, 37> date_line(std::chrono::system_clock::time_point time) noexcept;

/// The field for now, formatted once a second. One per worker.
class Date {
public:
    /// `now` of the worker's loop. The view lasts until the next call.
    std::string_view line(loop::TimePoint now) noexcept;

private:
    std::array<char, 37> text_{};
    loop::TimePoint until_{};  ///< when the wall clock's next second begins
};

}  // namespace nearhop::wire
