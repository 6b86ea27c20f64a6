#pragma once

#include <string>
#include <string_view>

namespace nearhop::conf {

/// Why a file could not be read: one of the two, or neither.
struct FileFault {
    std::string_view found{};  ///< "a pipe": what is there instead of a regular file
    std::string error{};       ///< the system's words

    explicit operator bool() const noexcept { return !found.empty() || !error.empty(); }
    std::string words() const { return found.empty() ? error : "it is " + std::string{found}; }
};

/// Up to `most` bytes of a file that a configuration names. Never waits: a pipe or a device, which may have nothing to
/// say for ever, is refused and not read, as the thread that reloads has probes and everything else to do.
FileFault read_regular_file(const std::string& file, std::size_t most, std::string& bytes);

}  // namespace nearhop::conf
