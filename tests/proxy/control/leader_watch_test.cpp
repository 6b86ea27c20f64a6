#include "proxy/control/leader_watch.h"

#include "tests/proxy/steering/world.h"

namespace nearhop::control {
namespace {

using steering::test::World;

constexpr health::TimePoint start{std::chrono::hours{1}};

World world_of(const std::string& origins) {
    return World{"origins:\n" + origins + "sites: {main: {default: true, policy: latency}}\n"};
}

const std::string us = "  us-east-1: https://us.example.com\n";
const std::string eu = "  eu-west-1: https://eu.example.com\n";
const std::string sa = "  sa-east-1: https://sa.example.com\n";

TEST(LeaderWatch, KeepsToItsOriginWhereAReloadRenumbersIt) {
    LeaderWatch watch;
    World before = world_of(us + eu);
    before.rtt("us-east-1", 100);
    before.rtt("eu-west-1", 10);
    watch.look(*before.table, before.health, start);
    ASSERT_EQ(watch.leaders(*before.table), std::vector<std::int32_t>{before.id("eu-west-1")});

    World after = world_of(sa + us + eu);
    watch.follow(*after.table);
    EXPECT_EQ(watch.leaders(*after.table), std::vector<std::int32_t>{after.id("eu-west-1")})
        << "its old number is another origin's";
}

TEST(LeaderWatch, WhereTheOriginIsGoneThereIsNoneUntilTheNextLook) {
    LeaderWatch watch;
    World before = world_of(us + eu);
    before.rtt("us-east-1", 100);
    before.rtt("eu-west-1", 10);
    watch.look(*before.table, before.health, start);

    World after = world_of(sa + us);
    watch.follow(*after.table);
    EXPECT_EQ(watch.leaders(*after.table), std::vector<std::int32_t>{-1});
    after.rtt("us-east-1", 100);
    watch.look(*after.table, after.health, start + std::chrono::seconds{1});
    EXPECT_EQ(watch.leaders(*after.table), std::vector<std::int32_t>{after.id("us-east-1")});
}

}  // namespace
}  // namespace nearhop::control
