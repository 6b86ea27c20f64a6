#include "proxy/exchange/request_id.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace nearhop::exchange {
namespace {

std::string chosen(std::string_view sent, bool trusted) {
    const std::vector<wire::Field> fields{{"x-request-id", sent, wire::classify("x-request-id")}};
    Dice dice;
    RequestId id;
    id.choose(fields, trusted, dice);
    return std::string{id.text()};
}

TEST(RequestId, ATrustedPeersPlainIdIsKeptAndAnyOtherIsOurs) {
    struct Row {
        std::string sent;
        bool trusted, kept;
    };
    for (const Row& row : {Row{"abc-DEF_0.9", true, true}, Row{std::string(128, 'a'), true, true},
                           Row{"abc", false, false}, Row{std::string(129, 'a'), true, false}, Row{"", true, false},
                           Row{"a b", true, false}, Row{"a\"b", true, false}, Row{"a/b", true, false}}) {
        const std::string id = chosen(row.sent, row.trusted);
        EXPECT_EQ(id == row.sent, row.kept) << row.sent;
        if (row.kept) continue;
        EXPECT_EQ(id.size(), 32U) << row.sent;
        EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos) << id;
    }
    EXPECT_NE(chosen("", false), chosen("", false));
}

}  // namespace
}  // namespace nearhop::exchange
