#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// Members of a JSON schema (draft 7), without the braces around them. A form brings its own, so that an editor knows
/// the same ranges as the parser. `./dev schema` builds conf/schema.json from them.
namespace nearhop::conf::schema {

inline constexpr std::string_view text = R"("type": ["string", "number", "boolean"])";  ///< YAML's `x: 5` is a text too

/// A text that a regular expression (without quotes and backslashes) matches.
std::string matching(std::string_view pattern);
std::string integers(const std::string& min, const std::string& max);
/// One of these words; where YAML reads a word as a number, as that too.
std::string words(const std::vector<std::string>& names);
/// One `item`, or a list of them, each once.
std::string list_of(std::string_view item, std::size_t at_least);

}  // namespace nearhop::conf::schema
