#pragma once

#include "conf/config.h"
#include "conf/problem.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nearhop::conf {

/// The first pass, over the form. `config` is set exactly when no problem is an error. Lists all problems of the file
/// at once, in file order. A default never replaces a wrong value.
struct ParseResult {
    std::optional<Config> config;
    Problems problems;
    /// What could be read in spite of errors, so that the second pass (meaning) finds its problems in the same run. It
    /// has defaults instead of refused values, so it must never be put into force.
    std::optional<Config> readable = std::nullopt;
};

/// Parses YAML text; `file` is used in messages and as the base of relative paths. Never throws for bad input.
ParseResult parse(std::string_view yaml, const std::string& file);

/// The text of a file, at most one byte more than parse() accepts. Nothing, and a problem, if it cannot be read.
std::optional<std::string> read_text(const std::string& file, Problems& problems);

/// Kinds of files: a command may read its configuration from a pipe; a running edge must not wait for one.
enum class Accept : std::uint8_t { any_file, regular_file };

/// Reads and parses a file; an unreadable one is a problem like any other.
ParseResult parse_file(const std::string& file, Accept accept = Accept::any_file);

/// The known name nearest to `found` within two edits, or empty: "did you mean".
std::string near_miss(std::string_view found, const std::vector<std::string>& known);

}  // namespace nearhop::conf
