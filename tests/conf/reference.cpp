#include "tests/conf/reference.h"

#include <fstream>
#include <utility>

namespace nearhop::conf {
namespace {

std::vector<std::string> cells_of(const std::string& row) {
    std::vector<std::string> cells;
    for (std::size_t from = 2; from < row.size();) {
        const auto end = row.find(" |", from);
        if (end == std::string::npos) break;
        cells.push_back(row.substr(from, end - from));
        from = end + 3;
    }
    return cells;
}

}  // namespace

Reference read_reference(const std::string& source_folder) {
    std::ifstream stream{source_folder + "/docs/configuration.md"};
    Reference reference;
    for (std::string line; std::getline(stream, line);) {
        if (!line.starts_with("| `")) continue;
        auto cells = cells_of(line);
        std::string key = cells[0].substr(1, cells[0].size() - 2);
        const auto [row, is_new] = reference.rows.emplace(std::move(key), std::move(cells));
        if (!is_new) reference.twice.push_back(row->first);
    }
    return reference;
}

}  // namespace nearhop::conf
