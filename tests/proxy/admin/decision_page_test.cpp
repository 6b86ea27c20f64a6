#include "proxy/account/access_line.h"
#include "proxy/steering/explain.h"

#include <boost/json.hpp>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

/// docs/decision.md has every word in which a decision is told, and no other.
namespace nearhop::run {
namespace {

/// First cells of the table under a heading, in their order.
std::vector<std::string> rows_under(const std::string& heading) {
    std::ifstream in{NEARHOP_SOURCE_DIR "/docs/decision.md"};
    std::vector<std::string> rows;
    bool inside = false;
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with("## ")) inside = line == "## " + heading;
        if (!inside || !line.starts_with("| `")) continue;
        rows.push_back(line.substr(3, line.find('`', 3) - 3));
        EXPECT_GT(line.size(), rows.back().size() + 15) << rows.back() << " has no meaning";
    }
    return rows;
}

template <class Word>
std::vector<std::string> names_up_to(Word last) {
    std::vector<std::string> names;
    for (int i = 0; i <= static_cast<int>(last); ++i) names.emplace_back(name(static_cast<Word>(i)));
    return names;
}

TEST(DecisionPage, HasEveryReasonVerdictAndReasonOfHealth) {
    EXPECT_EQ(rows_under("Reasons"), names_up_to(steering::Reason::surplus));
    EXPECT_EQ(rows_under("Verdicts"), names_up_to(health::Verdict::down));
    EXPECT_EQ(rows_under("What health gives as a reason"), names_up_to(health::Reason::operator_drain));
}

TEST(DecisionPage, HasEveryFieldOfAnAccessLine) {
    const auto room = std::make_unique<char[]>(account::access_line_room);
    const auto line = account::format_access_line(room.get(), account::AccessRecord{}, conf::LogFormat::json);
    std::vector<std::string> keys;
    const auto parsed = boost::json::parse(line);
    for (const auto& member : parsed.as_object()) keys.emplace_back(member.key());
    EXPECT_EQ(rows_under("Fields of an access line"), keys);
}

TEST(DecisionPage, HasEveryPartOfTheHeader) {
    steering::Table table;
    table.origins.resize(1);
    std::string field;
    steering::append_decision_field(field, table, {}, {}, 1, {0, steering::Reason::down});
    std::vector<std::string> parts;
    std::istringstream in{field};
    for (std::string part; std::getline(in >> std::ws, part, ';');) parts.push_back(part.substr(0, part.find('=')));
    EXPECT_EQ(rows_under("Parts of X-Nearhop-Decision"), parts);
}

}  // namespace
}  // namespace nearhop::run
