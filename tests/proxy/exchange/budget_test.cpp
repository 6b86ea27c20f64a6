#include "proxy/exchange/budget.h"

#include "proxy/account/fault.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace nearhop::exchange {

using account::Fault;
namespace {

loop::TimePoint at(int seconds) { return loop::TimePoint{} + std::chrono::seconds{1000 + seconds}; }

TEST(RetryBudget, BeginsFullAndIsUsedUp) {
    conf::Failover limits;
    limits.budget_minimum = 3;
    RetryBudget budget{limits};
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.take());
    EXPECT_FALSE(budget.take());
}

TEST(RetryBudget, RequestsEarnTheirShare) {
    conf::Failover limits;
    limits.budget_minimum = 3;
    limits.budget_percent = 20;
    RetryBudget budget{limits};
    while (budget.take()) {
    }
    for (int i = 0; i < 5; ++i) budget.on_request(at(0));
    EXPECT_TRUE(budget.take()) << "five requests pay for one retry";
    EXPECT_FALSE(budget.take());
}

TEST(RetryBudget, HoldsTenSecondsOfTheCurrentRateAndNoMore) {
    conf::Failover limits;
    limits.budget_minimum = 10;
    limits.budget_percent = 20;
    RetryBudget budget{limits};
    for (int i = 0; i < 10'000; ++i) budget.on_request(at(i / 1000));  // 1000 a second for 10 s
    EXPECT_NEAR(budget.tokens(), 2000, 1);
    for (int i = 0; i < 100; ++i) budget.on_request(at(40 + i));  // one a second
    EXPECT_LE(budget.tokens(), 10) << "what a busy hour earned is not kept for a quiet one";
}

TEST(RetryBudget, NoShareAndNoMinimumIsNoRetry) {
    conf::Failover limits;
    limits.budget_minimum = 0;
    limits.budget_percent = 0;
    RetryBudget budget{limits};
    for (int i = 0; i < 1000; ++i) budget.on_request(at(i));
    EXPECT_FALSE(budget.take());
}

TEST(RetryBudget, AReloadDoesNotFillIt) {
    conf::Failover limits;
    limits.budget_minimum = 2;
    RetryBudget budget{limits};
    while (budget.take()) {
    }
    budget.set(limits);
    EXPECT_FALSE(budget.take());
}

TEST(RetryBudget, FollowsOtherLimitsAtOnce) {
    struct Row {
        const char* what;
        unsigned before;  ///< budget_minimum
        unsigned taken;
        unsigned after;
        unsigned left;
    };
    const Row rows[] = {
        {"raised", 2, 2, 5, 3},  {"raised, full", 2, 0, 5, 5},  {"switched on", 0, 0, 5, 5},
        {"lowered", 5, 0, 2, 2}, {"lowered, used", 5, 4, 2, 1}, {"switched off", 5, 1, 0, 0},
    };
    for (const auto& row : rows) {
        conf::Failover limits;
        limits.budget_minimum = row.before;
        RetryBudget budget{limits};
        for (unsigned i = 0; i < row.taken; ++i) EXPECT_TRUE(budget.take()) << row.what;
        limits.budget_minimum = row.after;
        budget.set(limits);
        unsigned left = 0;
        while (budget.take()) ++left;
        EXPECT_EQ(left, row.left) << row.what;
    }
}

TEST(Faults, AreCompleteAndTheirCodesUnique) {
    std::set<std::string> codes;
    for (std::size_t i = 0; i < account::fault_count; ++i) {
        const auto& row = info(static_cast<Fault>(i));
        EXPECT_TRUE(codes.insert(std::string{row.code}).second) << row.code;
        EXPECT_FALSE(row.meaning.empty());
        if (i == 0) continue;
        for (const char c : row.code) EXPECT_TRUE((c >= 'a' && c <= 'z') || c == '_') << row.code;
        const std::string side = row.side == account::Side::client   ? "client_"
                                 : row.side == account::Side::origin ? "origin_"
                                                                     : "";
        EXPECT_TRUE(row.code.starts_with(side)) << row.code;
        EXPECT_GE(row.status, 400U) << row.code;
        const bool is_refusal = row.code == "site_rate_limited" || row.code == "client_upgrade_refused" ||
                                row.code == "client_session_ended";
        EXPECT_TRUE(is_refusal || (row.status >= 500) == (row.side != account::Side::client)) << row.code;
        EXPECT_TRUE(!row.nothing_sent || row.side == account::Side::origin) << row.code;
        EXPECT_TRUE(row.side == account::Side::origin || row.reason == health::Reason::none)
            << "only origins' faults are theirs";
    }
    EXPECT_EQ(info(Fault::edge_internal).code, "edge_internal");
    EXPECT_EQ(info(Fault::origin_stale).reason, health::Reason::none) << "a stale connection says nothing of health";
}

}  // namespace
}  // namespace nearhop::exchange
