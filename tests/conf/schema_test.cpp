#include "conf/known_keys.h"
#include "tests/conf/schema_text.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace nearhop::conf {
namespace {

TEST(Schema, TheFileIsWhatParserAndReferenceMakeOfIt) {
    std::ifstream stream{NEARHOP_SOURCE_DIR "/conf/schema.json"};
    const std::string file{std::istreambuf_iterator<char>{stream}, {}};
    EXPECT_EQ(file, schema_text(NEARHOP_SOURCE_DIR)) << "a key, its form or its row in docs/configuration.md has "
                                                        "changed: run ./dev schema and commit conf/schema.json";
}

TEST(Schema, EveryKeySaysWhatItHolds) {
    const auto keys = known_keys();
    for (const KeyInfo& key : keys) {
        bool has_keys = false;
        for (const KeyInfo& other : keys)
            has_keys = has_keys || other.path.starts_with(key.path + '.') || other.path.starts_with(key.path + "[]");
        EXPECT_TRUE(has_keys || !key.schema.empty())
            << key.path << " is listed by hand: give Field::list its schema, see conf/schema.h";
    }
}

}  // namespace
}  // namespace nearhop::conf
