#include "conf/known_keys.h"
#include "proxy/account/fault.h"
#include "proxy/admin/metrics.h"
#include "tests/proxy/admin/world.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

/// docs/limits.md against the code: every limit has its row, and what a row says is so.
namespace nearhop::admin {
namespace {

/// Without backquotes.
std::string plain(const std::string& cell) {
    return cell.size() > 1 && cell.front() == '`' ? cell.substr(1, cell.size() - 2) : cell;
}

/// Cells of the rows of the first table: limit, key, default, fault, counter.
std::vector<std::vector<std::string>> rows() {
    std::ifstream stream{NEARHOP_SOURCE_DIR "/docs/limits.md"};
    std::vector<std::vector<std::string>> result;
    bool inside = false;
    for (std::string line; std::getline(stream, line);) {
        if (line.starts_with("## ")) inside = line == "## The table";
        if (!inside || !line.starts_with("| ") || line.starts_with("| limit |") || line.starts_with("| ---")) continue;
        std::vector<std::string> cells;
        for (std::size_t from = 2; from < line.size();) {
            const auto end = line.find(" |", from);
            if (end == std::string::npos) break;
            cells.push_back(plain(line.substr(from, end - from)));
            from = end + 3;
        }
        result.push_back(std::move(cells));
    }
    return result;
}

TEST(LimitsPage, NamesEveryLimitOnceWithItsDefault) {
    std::map<std::string, std::string> defaults;
    for (const auto& key : conf::known_keys()) defaults[key.path] = key.shown_default();
    std::set<std::string> seen;
    for (const auto& row : rows()) {
        ASSERT_EQ(row.size(), 5U) << row.front();
        EXPECT_TRUE(seen.insert(row[1]).second) << row[1] << " has two rows";
        ASSERT_TRUE(defaults.contains(row[1])) << row[1] << " is no key";
        EXPECT_EQ(row[2], defaults[row[1]]) << row[1];
    }
    for (const auto& [key, value] : defaults) {
        const bool is_limit = key.starts_with("limits.") || key.starts_with("http2.") || key == "rate_limit.address" ||
                              key == "rate_limit.site" || key.ends_with("NAME.body_limit") ||
                              key.ends_with("NAME.replay_buffer");
        EXPECT_TRUE(!is_limit || seen.contains(key)) << key << " has no row";
    }
}

TEST(LimitsPage, NamesFaultsAndCountersThatExist) {
    std::set<std::string> codes{"-"};
    for (std::size_t i = 1; i < account::fault_count; ++i)
        codes.emplace(account::info(static_cast<account::Fault>(i)).code);
    const test::World world;
    // Rows that never counted are left out, so that one of them is looked for in the reference instead.
    std::string known = metrics_text(world.snapshot, world.registry, world.status);
    std::ifstream reference{NEARHOP_SOURCE_DIR "/docs/metrics.md"};
    for (std::string line; std::getline(reference, line);) known += line + '\n';
    ASSERT_GT(rows().size(), 30U);
    for (const auto& row : rows()) {
        EXPECT_TRUE(codes.contains(row[3])) << row[3];
        const auto counter = row[4].substr(0, row[4].find('{'));
        EXPECT_NE(known.find(counter), std::string::npos) << counter;
        const bool is_whole = counter == "nearhop_sessions_refused_total";  // its rows are there from the start
        EXPECT_NE(known.find(is_whole ? row[4] : counter), std::string::npos) << row[4];
    }
}

}  // namespace
}  // namespace nearhop::admin
