#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nearhop::conf {

/// One key that the parser reads.
struct KeyInfo {
    std::string path;           ///< "origins.NAME.health.timeout", "listeners[].address"; NAME is the operator's word
    std::string wanted;         ///< what it may hold
    std::string default_value;  ///< as it would be written; "none", "required" or a phrase where it is no fixed value
    bool is_fixed = false;      ///< default_value may be written as it stands
    std::string schema{};       ///< what conf/schema.json says of it, see schema.h; empty where its own keys say all
};

/// Every key, in the order in which the parser asks for them. Made by the parser itself, run over nothing: a key that
/// is read is in this list, and the reference in docs/configuration.md is checked against it.
std::vector<KeyInfo> known_keys();

/// One value that a file spells out.
struct WrittenValue {
    std::string path;  ///< with the operator's names
    std::string key;   ///< the same as in KeyInfo::path
    std::string text;  ///< as the parser understood it, normalised
};

/// What the parser understood of a file, value by value. Values with problems are missing.
std::vector<WrittenValue> written_values(std::string_view yaml, const std::string& file);

}  // namespace nearhop::conf
