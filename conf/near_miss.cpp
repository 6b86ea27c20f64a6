#include "conf/parse.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace nearhop::conf {
namespace {

/// Levenshtein distance: insertions, deletions and substitutions of one byte each.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t above = row[j];
            row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
            diagonal = above;
        }
    }
    return row[b.size()];
}

}  // namespace

std::string near_miss(std::string_view found, const std::vector<std::string>& known) {
    constexpr std::size_t edits = 2;
    const std::string* nearest = nullptr;
    std::size_t best = edits + 1;
    for (const std::string& name : known) {
        const std::size_t longer = std::max(name.size(), found.size());
        if (longer - std::min(name.size(), found.size()) > edits) continue;  // and no table for a megabyte of text
        const std::size_t apart = distance(found, name);
        if (apart >= best || apart >= longer) continue;  // with nothing in common it is no miss but another word
        best = apart;
        nearest = &name;
    }
    return nearest ? *nearest : std::string{};
}

}  // namespace nearhop::conf
