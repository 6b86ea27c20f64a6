#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nearhop::conf {

/// One key that the parser reads.
struct KeyInfo {
    std::string path;           ///< "origins.NAME.health.timeout", "listeners[].address"; NAME is the operator's word
    std::string wanted;         ///< what it may hold
    std::string default_value;  ///< as a file would write it; "none", "required" or a phrase if it is no fixed value
    bool is_fixed = false;      ///< a file may write default_value
    std::string schema{};       ///< the key's part of conf/schema.json, see schema.h; empty if its own keys say all
    std::string effect{};       ///< what happens by default, if the value does not say it: "unlimited" for 0

    /// The default as the reference shows it: "unlimited (0)".
    std::string shown_default() const { return effect.empty() ? default_value : effect + " (" + default_value + ')'; }
};

/// Every key, in the order in which the parser asks for them. The parser itself builds the list, in a run over no file,
/// so no key is missing. Tests compare it with docs/configuration.md.
std::vector<KeyInfo> known_keys();

/// One value that a file contains.
struct WrittenValue {
    std::string path;  ///< with the operator's names
    std::string key;   ///< the same as in KeyInfo::path
    std::string text;  ///< as the parser understood it, normalised
};

/// What the parser understood of a file, value by value, without values that have problems.
std::vector<WrittenValue> written_values(std::string_view yaml, const std::string& file);

}  // namespace nearhop::conf
