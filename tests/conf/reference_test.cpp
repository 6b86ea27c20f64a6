#include "tests/conf/reference.h"

#include "conf/known_keys.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace nearhop::conf {
namespace {

TEST(Reference, EveryKeyOfTheParserHasItsRowWithValuesAndDefault) {
    const auto [rows, twice] = read_reference(NEARHOP_SOURCE_DIR);
    EXPECT_EQ(twice, std::vector<std::string>{}) << "have two rows";
    for (const KeyInfo& key : known_keys()) {
        SCOPED_TRACE(key.path);
        const auto row = rows.find(key.path);
        if (row == rows.end()) {
            ADD_FAILURE() << "add: | `" << key.path << "` | " << key.wanted << " | " << key.shown_default()
                          << " | why |";
            continue;
        }
        ASSERT_EQ(row->second.size(), 4U);
        EXPECT_EQ(row->second[1], key.wanted);
        EXPECT_EQ(row->second[2], key.shown_default());
    }
}

TEST(Reference, EveryRowIsAKeyOfTheParser) {
    std::set<std::string> known;
    for (const KeyInfo& key : known_keys())
        EXPECT_TRUE(known.insert(key.path).second) << key.path << " is listed twice";
    EXPECT_GT(known.size(), 100U);
    for (const auto& [key, cells] : read_reference(NEARHOP_SOURCE_DIR).rows) EXPECT_TRUE(known.contains(key)) << key;
}

}  // namespace
}  // namespace nearhop::conf
