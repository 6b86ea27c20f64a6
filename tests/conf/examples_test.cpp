#include "conf/known_keys.h"
#include "conf/parse.h"
#include "tests/conf/support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace nearhop::conf {
namespace {

const std::filesystem::path examples = std::filesystem::path{NEARHOP_SOURCE_DIR} / "conf" / "examples";

std::string text_of(const std::filesystem::path& file) {
    std::ifstream stream{file};
    return {std::istreambuf_iterator<char>{stream}, {}};
}

TEST(Examples, EachOneIsReadWithoutAnyProblem) {
    int seen = 0;
    for (const auto& entry : std::filesystem::directory_iterator{examples}) {
        if (!entry.is_regular_file()) continue;  // scenarios/ is for `nearhop simulate`
        SCOPED_TRACE(entry.path().string());
        const ParseResult result = parse_file(entry.path().string());
        EXPECT_EQ(all_lines(result.problems), "");
        EXPECT_TRUE(result.config);
        ++seen;
    }
    EXPECT_GE(seen, 6);
}

TEST(Examples, FullSpellsEveryKeyAndEveryFixedDefault) {
    const std::string text = text_of(examples / "full.yaml");
    const auto values = written_values(text, "full.yaml");
    int fixed = 0;
    for (const KeyInfo& key : known_keys()) {
        SCOPED_TRACE(key.path);
        if (!key.is_fixed) {
            // NAME, GROUP, KEY and a list's items are spelled by the keys inside them or by those around them.
            std::string last = key.path.substr(key.path.find_last_of('.') + 1);
            if (last == "NAME" || last == "GROUP" || last == "KEY") continue;
            EXPECT_NE(text.find(last), std::string::npos);
            continue;
        }
        ++fixed;
        // A flag of one row is written in a comment, where an uncommented row would change what the example does.
        if (key.path == "sites.NAME.countries.KEY.only" || key.path == "sites.NAME.unlocated.only") continue;
        const auto written = std::find_if(values.begin(), values.end(), [&](const WrittenValue& value) {
            return value.key == key.path && value.text == key.default_value;
        });
        EXPECT_NE(written, values.end()) << "want it written with its default, " << key.default_value;
    }
    EXPECT_GT(fixed, 60);
}

TEST(Examples, FullChangesNothingAgainstTheShortForm) {
    const auto full = parse_file((examples / "full.yaml").string());
    const auto minimal = parse(base(), "f");
    ASSERT_TRUE(full.config && minimal.config);
    // Every fixed default is compared above; these are the ones that are no fixed value.
    EXPECT_TRUE(full.config->clients.trusted.empty());
    EXPECT_TRUE(full.config->geo.databases.empty());
    EXPECT_TRUE(full.config->sites[0].is_default);
    EXPECT_EQ(full.config->sites[0].origins.size(), full.config->origins.size());
    EXPECT_EQ(full.config->sites[0].routes[0].limits.deadline.value, minimal.config->sites[0].limits.deadline.value);
    EXPECT_EQ(full.config->origins[0].health.timeout.value, minimal.config->origins[0].health.timeout.value);
    EXPECT_EQ((*full.config->admin.listen)->port, (*minimal.config->admin.listen)->port);
}

}  // namespace
}  // namespace nearhop::conf
