#include "tests/proxy/steering/world.h"

#include <algorithm>
#include <vector>

/// How decide() sends clients back to an origin that was out, and how a site by latency keeps to its leader.
namespace nearhop::steering::test {
namespace {

using health::Failback;
using health::Verdict;

std::string with_line(World& world, std::uint16_t line, std::string_view code = "DE") {
    decide({.site = 0, .method = "GET", .path = "/", .line = line}, from(code), *world.table, world.health, world.local,
           world.earlier, world.decision);
    return world.text(world.decision.chosen());
}

TEST(Returning, GoesBehindEveryOriginThatIsNot) {
    World world{three};
    world.health.origins[world.id("eu-west-1")].share = 0;
    EXPECT_EQ(world.candidates(from("DE")), "us-east-1:next_nearest ap-southeast-1:next_nearest eu-west-1:returning");
    world.set("us-east-1", Verdict::unknown);
    world.set("ap-southeast-1", Verdict::degraded);
    EXPECT_EQ(world.candidates(from("DE")), "ap-southeast-1:degraded us-east-1:unknown eu-west-1:returning");
}

TEST(Returning, TakesClientsByTheirPlaceInTheLine) {
    World world{three};
    auto& share = world.health.origins[world.id("eu-west-1")].share;
    share = 1000;
    EXPECT_EQ(with_line(world, 999), "eu-west-1:nearest us-east-1:next_nearest ap-southeast-1:next_nearest");
    EXPECT_EQ(with_line(world, 1000), "us-east-1:next_nearest ap-southeast-1:next_nearest eu-west-1:returning");
    share = Failback::everyone;
    EXPECT_EQ(with_line(world, 65'535), "eu-west-1:nearest us-east-1:next_nearest ap-southeast-1:next_nearest");
}

TEST(Returning, IsAsGoodAsAnyWhereNobodyElseMayServe) {
    World world{three};
    world.health.origins[world.id("eu-west-1")].share = 0;
    world.set("us-east-1", Verdict::down);
    world.state("ap-southeast-1").ejected = true;
    EXPECT_EQ(world.candidates(from("DE")), "eu-west-1:returning");
}

TEST(Line, IsTheSameForAClientAndSpreadsClientsEvenly) {
    const auto line = [](const std::string& text) { return line_of(geo::Address::parse(text).value()); };
    EXPECT_EQ(line("192.0.2.1"), line("::ffff:192.0.2.1"));
    EXPECT_EQ(line("2001:db8:1:2::1"), line("2001:db8:1:2:ffff::")) << "who has one address of a /64 has them all";
    std::vector<int> tenths(10);
    for (int network = 0; network < 40; ++network)
        for (int host = 0; host < 250; ++host)
            ++tenths[line("10.1." + std::to_string(network) + "." + std::to_string(host)) * 10u / 65'536u];
    for (const int count : tenths) EXPECT_NEAR(count, 1000, 120);
}

TEST(Leader, IsKeptToWhileItMayServe) {
    World world{three + "sites: {main: {default: true, policy: latency}}\n"};
    world.rtt("us-east-1", 100);
    world.rtt("eu-west-1", 60);
    world.rtt("ap-southeast-1", 200);
    EXPECT_EQ(world.candidates(from("DE")),
              "eu-west-1:lowest_latency us-east-1:next_latency ap-southeast-1:next_latency");
    world.health.leaders = {static_cast<std::int32_t>(world.id("us-east-1"))};
    EXPECT_EQ(world.candidates(from("DE")),
              "us-east-1:lowest_latency eu-west-1:next_latency ap-southeast-1:next_latency");
    world.set("us-east-1", Verdict::down);
    EXPECT_EQ(world.candidates(from("DE")), "eu-west-1:lowest_latency ap-southeast-1:next_latency");
}

TEST(Leader, SaysNothingUnderAnotherPolicyOrOfARouteThatForbidsIt) {
    World world{three + "sites: {main: {default: true, policy: latency, writes: eu-west-1}}\n"};
    for (const char* name : {"us-east-1", "eu-west-1", "ap-southeast-1"}) world.rtt(name, 50);
    world.health.leaders = {static_cast<std::int32_t>(world.id("us-east-1"))};
    EXPECT_EQ(world.candidates(from("DE"), "POST"), "eu-west-1:writer");
    World nearest{three};
    nearest.health.leaders = {static_cast<std::int32_t>(nearest.id("us-east-1"))};
    EXPECT_EQ(nearest.candidates(from("DE")).substr(0, 9), "eu-west-1");
}

}  // namespace
}  // namespace nearhop::steering::test
