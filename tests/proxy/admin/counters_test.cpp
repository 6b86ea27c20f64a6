#include "proxy/admin/metrics.h"
#include "proxy/shared/registry.h"
#include "tests/proxy/admin/world.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>

namespace nearhop::admin {
namespace {

using Names = std::set<std::string_view>;

TEST(Registry, MakesABlockForAWorkerWhenItAsks) {
    shared::Registry registry{16};
    registry.origin(3, "main", "eu-west-1")->hedges.add(2);
    const auto rows = registry.origins();
    ASSERT_EQ(rows.size(), 1u);
    const auto& blocks = rows.begin()->second;
    ASSERT_EQ(blocks.size(), 16u);
    for (std::size_t i = 0; i < blocks.size(); ++i) EXPECT_EQ(blocks[i] != nullptr, i == 3) << i;
    EXPECT_EQ(registry.origin(3, "main", "eu-west-1"), blocks[3]) << "the same one for ever";
}

TEST(Registry, CountsTogetherWhatComesAboveItsRows) {
    shared::Registry registry{2};
    registry.set_most_rows(2);
    registry.origin(0, "a", "eu-west-1")->hedges.add(1);
    registry.origin(0, "b", "eu-west-1")->hedges.add(10);
    registry.origin(0, "c", "eu-west-1")->hedges.add(100);
    registry.origin(1, "d", "eu-west-1")->hedges.add(1000);
    registry.origin(0, "a", "eu-west-1")->hedges.add(1);  // known already
    for (const char* site : {"a", "b", "c", "d"}) registry.site(0, site)->moved[0].add();
    std::map<std::string, std::uint64_t> hedges;
    for (const auto& [pair, blocks] : registry.origins())
        for (const auto& block : blocks)
            if (block) hedges[pair.first] += block->hedges.get();
    EXPECT_EQ(hedges, (std::map<std::string, std::uint64_t>{{"a", 2}, {"b", 10}, {"(other)", 1100}}));
    const auto sites = registry.sites();
    EXPECT_EQ(sites.size(), 3u);
    EXPECT_EQ(sites.at("(other)")[0]->moved[0].get(), 2u);
}

TEST(Registry, ForgetsWhatTheConfigurationDoesNotHaveOnceNothingGoesOnThere) {
    shared::Registry registry{1};
    account::Counted in_flight{registry.origin(0, "gone", "eu-west-1")->in_flight};
    registry.origin(0, "gone", "old-1");
    const auto held = registry.origin(0, "gone", "old-2");
    registry.origin(0, "main", "old-1");
    registry.origin(0, "main", "eu-west-1")->hedges.add(7);
    registry.origin(0, std::string{shared::other_sites}, "eu-west-1");
    for (const char* site : {"main", "gone"}) registry.site(0, site);
    for (const char* origin : {"eu-west-1", "old-1"}) {
        registry.pool(0, origin);
        registry.load(origin);
    }
    registry.pool(0, "old-1")->idle.add(1);
    EXPECT_FALSE(registry.retain(Names{"main"}, Names{"eu-west-1"})) << "a request and a connection are there yet";
    EXPECT_EQ(registry.origins().size(), 3u);
    EXPECT_EQ(registry.sites().size(), 2u);
    EXPECT_EQ(registry.pools().size(), 2u);
    in_flight.release();
    registry.pool(0, "old-1")->idle.subtract(1);
    EXPECT_TRUE(registry.retain(Names{"main"}, Names{"eu-west-1"}));
    EXPECT_EQ(registry.origins().size(), 2u);
    EXPECT_EQ(registry.sites().size(), 1u);
    EXPECT_EQ(registry.pools().size(), 1u);
    EXPECT_EQ(registry.loads().size(), 1u);
    EXPECT_EQ(registry.origin(0, "main", "eu-west-1")->hedges.get(), 7u) << "what stays forgets nothing";
}

TEST(Registry, APairThatWasHardlyUsedTakesLessThanAKibibyte) {
    // Before its rows were made as they are needed, a pair took 2,496 bytes for each worker, used or not.
    EXPECT_LE(sizeof(account::OriginCounters), 768u);
}

TEST(SparseTable, IsReadWhileItsRowsAreMade) {
    account::SparseTable<64, 4> table;
    std::thread writer{[&] {
        for (std::size_t row = 0; row < 64; ++row)
            for (std::size_t column = 0; column < 4; ++column) table[row][column].add(row + column);
    }};
    const auto& read = table;
    std::uint64_t last = 0;
    for (int i = 0; i < 1000; ++i) {
        std::uint64_t sum = 0;
        for (std::size_t row = 0; row < 64; ++row)
            for (const auto& counter : read[row]) sum += counter.get();
        EXPECT_GE(sum, last);
        last = sum;
    }
    writer.join();
    EXPECT_EQ(read[63][3].get(), 66u);
    EXPECT_EQ(read[0][0].get(), 0u);
}

TEST(Metrics, ListOnlySoManyPairsThatHaveNotCountedYet) {
    std::string yaml = test::three_regions;
    for (int i = 0; i < 50; ++i)
        yaml += "  site-" + std::to_string(i) + ": {hosts: [h" + std::to_string(i) + ".test]}\n";
    test::World world{yaml};
    world.registry.set_most_rows(10);
    const auto text = metrics_text(world.snapshot, world.registry, world.status);
    std::size_t rows = 0;
    for (std::size_t at = 0; (at = text.find("\nnearhop_requests_total{", at)) != text.npos; ++at) ++rows;
    EXPECT_EQ(rows, 10u);
}

}  // namespace
}  // namespace nearhop::admin
