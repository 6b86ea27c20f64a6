#include "conf/known_keys.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

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

/// The rows of docs/configuration.md whose first cell is a key: `| `key` | values | default | why |`.
std::map<std::string, std::vector<std::string>> reference_rows() {
    std::ifstream stream{NEARHOP_SOURCE_DIR "/docs/configuration.md"};
    std::map<std::string, std::vector<std::string>> rows;
    for (std::string line; std::getline(stream, line);) {
        if (!line.starts_with("| `")) continue;
        auto cells = cells_of(line);
        const std::string key = cells[0].substr(1, cells[0].size() - 2);
        EXPECT_TRUE(rows.emplace(key, std::move(cells)).second) << key << " has two rows";
    }
    return rows;
}

TEST(Reference, EveryKeyOfTheParserHasItsRowWithValuesAndDefault) {
    const auto rows = reference_rows();
    for (const KeyInfo& key : known_keys()) {
        SCOPED_TRACE(key.path);
        const auto row = rows.find(key.path);
        if (row == rows.end()) {
            ADD_FAILURE() << "add: | `" << key.path << "` | " << key.wanted << " | " << key.default_value << " | why |";
            continue;
        }
        ASSERT_EQ(row->second.size(), 4U);
        EXPECT_EQ(row->second[1], key.wanted);
        EXPECT_EQ(row->second[2], key.default_value);
    }
}

TEST(Reference, EveryRowIsAKeyOfTheParser) {
    std::set<std::string> known;
    for (const KeyInfo& key : known_keys())
        EXPECT_TRUE(known.insert(key.path).second) << key.path << " is listed twice";
    EXPECT_GT(known.size(), 100U);
    for (const auto& [key, cells] : reference_rows()) EXPECT_TRUE(known.contains(key)) << key;
}

}  // namespace
}  // namespace nearhop::conf
