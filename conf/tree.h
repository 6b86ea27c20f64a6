#pragma once

#include "conf/problem.h"

#include <string>
#include <string_view>
#include <vector>

namespace nearhop::conf {

/// A YAML document as plain data: every scalar is its text, so that `NO` is Norway and `1.10` keeps its zero.
/// The key decides what a text means (forms.h).
struct Tree {
    enum class Kind {
        absent,   ///< not in the file
        refused,  ///< in the file and already reported: skip it
        empty,    ///< a key without a value
        text,
        list,
        map,
    };

    Kind kind = Kind::absent;
    Mark mark{};
    std::string text;
    std::string key;          ///< inside a map: the key of this value
    Mark key_mark{};          ///< and its position
    std::vector<Tree> items;  ///< of a list, or of a map in file order, without duplicate keys

    /// The value of `name` in a map, or nullptr.
    const Tree* find(std::string_view name) const noexcept;
};

/// Reads one YAML document. Syntax errors, duplicate keys, a second document, exceeded limits, and parts of YAML that
/// no configuration needs (anchors, aliases, tags, keys that are not text) become problems. Never throws for bad input.
/// An empty document is an empty map.
Tree read_tree(std::string_view yaml, Problems& problems);

}  // namespace nearhop::conf
