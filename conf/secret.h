#pragma once

#include "conf/problem.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace nearhop::conf {

/// A text that nothing shows: no message, no page, no log. It is in the configuration itself, or in a file or an
/// environment variable, which the pass over files reads into `value`.
struct Secret {
    static constexpr std::size_t most = 4096;  ///< characters

    std::string value;
    std::string file;       ///< absolute, or relative to the working directory; empty: not from a file
    std::string variable;   ///< empty: not from the environment
    std::size_t least = 1;  ///< characters
    Mark mark{};
    std::string path;  ///< of the key, as in At

    bool given() const noexcept { return !value.empty() || !file.empty() || !variable.empty(); }
};

/// What a secret's bytes are good for: empty, or what is wrong with them and where, without a word of them.
std::string secret_problem(std::string_view text, std::size_t least);

/// The bytes of a file without the end of their one line, "\n" or "\r\n", which editors and `echo` write.
std::string_view without_line_end(std::string_view bytes) noexcept;

/// "a text of visible ASCII characters, at least 8, or a map with file or env"
std::string secret_wanted(std::size_t least);

}  // namespace nearhop::conf
